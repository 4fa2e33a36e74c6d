/* The text of an error, Linux's or Ashlar's own. */
#ifndef ASHLAR_LIB_ERROR_TEXT_H
#define ASHLAR_LIB_ERROR_TEXT_H

/* rc: a negative errno or enum ash_error. Never NULL; lives for ever; any thread. */
const char *error_text(int rc);

#endif
