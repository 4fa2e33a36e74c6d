/* Texts of errors; see error.h. */
#include "error_text.h"

#include <string.h>

#include "errors.h"

const char *error_text(int rc)
{
    const char *text = ash_error_text(rc);
    if (!text)
        text = strerrordesc_np(-rc);
    return text ? text : "unknown error";
}
