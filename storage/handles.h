/*
 * The files that are open here, by file_id.
 *
 * A file is in the table for as long as a connection holds it or an operation uses it, and not
 * longer: an unlinked file gives its space back, and a file that was written can be executed, as
 * soon as the last client lets go of it.
 */
#ifndef ASHLAR_STORAGE_HANDLES_H
#define ASHLAR_STORAGE_HANDLES_H

#include "volume.h"

struct handles;

/* NULL: out of memory. Descriptors that are short are taken from this table's idle files. */
struct handles *handles_new(void);
/* Closes every file; no one may use one any more. */
void handles_free(struct handles *handles);

/*
 * Puts a freshly opened file in. Returns the file to go on with (another one, which has absorbed
 * it, where it was open already), with one reference for the caller.
 */
struct volume_file *handles_add(struct handles *handles, struct volume_file *fresh);
/* The file with one more reference, or NULL. */
struct volume_file *handles_get(struct handles *handles, const struct file_id *id);
/* Gives one reference back. */
void handles_put(struct handles *handles, struct volume_file *file);
/*
 * A holder that opened it for writing comes (with its reference held), or goes; and one that
 * executes it. The two keep each other out, as on Linux: -ETXTBSY.
 */
int handles_writer_came(struct handles *handles, struct volume_file *file) CHECKED;
void handles_writer_goes(struct handles *handles, struct volume_file *file);
int handles_executor_came(struct handles *handles, struct volume_file *file) CHECKED;
void handles_executor_goes(struct handles *handles, struct volume_file *file);
/* A holder comes for a shared mapping of a pComponent, or goes; -EBUSY: another one has such. */
int handles_mapper_came(struct handles *handles, struct volume_file *file,
                        struct component mapper) CHECKED;
void handles_mapper_goes(struct handles *handles, struct volume_file *file);
/* Whether somebody has it open for writing. */
bool handles_written(struct handles *handles, const struct file_id *id);

size_t handles_count(struct handles *handles);
bool file_id_equal(const struct file_id *a, const struct file_id *b);

#endif
