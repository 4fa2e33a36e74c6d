/* Trails: what was put down is found, what makes no sense is refused, the oldest gives way, and
   what does not fit. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "limits.h"
#include "trails.h"

enum { MORE_THAN_ALL = 300, ROOM = 8192 };

static struct trail_file file_of(uint64_t inode)
{
    return (struct trail_file){.file = {.device = 1, .inode = inode}, .version = 7};
}

static int put(struct trails *trails, uint64_t program, uint32_t first)
{
    struct trail_file files[2] = {file_of(program), file_of(1000)};
    struct trail_run runs[2] = {{.file = 0, .first = first, .count = 3},
                                {.file = 1, .first = 9, .count = 1, .written = 1}};
    struct msg_process_trail_left m = {.program = file_of(program),
                                       .files = files,
                                       .files_count = 2,
                                       .runs = runs,
                                       .runs_count = 2};
    return trails_put(trails, &m);
}

static void get(struct trails *trails, struct trail_file program,
                struct msg_process_trail_reply *reply)
{
    static uint8_t body[ROOM];
    int size = trails_get(trails, &program, body, sizeof body);
    assert_true(size > 0);
    assert_int_equal(msg_process_trail_reply_decode(reply, body, (size_t)size), 0);
}

static void finds_what_was_put(void **state)
{
    struct trails *trails = *state;
    struct msg_process_trail_reply reply;
    get(trails, file_of(5), &reply);
    assert_int_equal(reply.files_count, 0);
    assert_int_equal(put(trails, 5, 40), 0);
    assert_int_equal(put(trails, 6, 50), 0);
    get(trails, file_of(5), &reply);
    assert_int_equal(reply.files_count, 2);
    assert_int_equal(reply.files[1].file.inode, 1000);
    assert_int_equal(reply.runs_count, 2);
    assert_int_equal(reply.runs[0].first, 40);
    assert_int_equal(reply.runs[1].written, 1);
    assert_int_equal(put(trails, 5, 41), 0);
    get(trails, file_of(5), &reply);
    assert_int_equal(reply.runs[0].first, 41);
}

static void another_version_is_another_program(void **state)
{
    struct trails *trails = *state;
    struct msg_process_trail_reply reply;
    struct trail_file changed = file_of(5);
    changed.version++;
    assert_int_equal(put(trails, 5, 40), 0);
    get(trails, changed, &reply);
    assert_int_equal(reply.files_count, 0);
}

static void refuses_what_makes_no_sense(void **state)
{
    struct trails *trails = *state;
    static struct trail_file files[TRAIL_FILES_MAX + 1];
    static struct trail_run runs[TRAIL_RUNS_MAX + 1];
    struct msg_process_trail_reply reply;
    struct msg_process_trail_left m = {
        .program = file_of(8), .files = files, .files_count = TRAIL_FILES_MAX + 1, .runs = runs};
    assert_int_equal(trails_put(trails, &m), -EINVAL);
    m.files_count = 1;
    m.runs_count = TRAIL_RUNS_MAX + 1;
    assert_int_equal(trails_put(trails, &m), -EINVAL);
    m.runs_count = 1;
    assert_int_equal(trails_put(trails, &m), -EINVAL); /* no line */
    runs[0] = (struct trail_run){.file = 1, .count = 1};
    assert_int_equal(trails_put(trails, &m), -EINVAL); /* of no file */
    runs[0].file = 0;
    assert_int_equal(trails_put(trails, &m), 0);
    get(trails, file_of(8), &reply);
    assert_int_equal(reply.runs_count, 1);
}

static void the_longest_unused_gives_way(void **state)
{
    struct trails *trails = *state;
    struct msg_process_trail_reply reply;
    for (uint64_t i = 1; i <= MORE_THAN_ALL; i++) {
        assert_int_equal(put(trails, i, 1), 0);
        get(trails, file_of(1), &reply); /* keeps it in use */
        assert_int_equal(reply.files_count, 2);
    }
    get(trails, file_of(2), &reply);
    assert_int_equal(reply.files_count, 0);
    get(trails, file_of(MORE_THAN_ALL), &reply);
    assert_int_equal(reply.files_count, 2);
}

static int misfit(struct trails *trails, uint64_t program)
{
    return trails_put(trails, &(struct msg_process_trail_left){.program = file_of(program)});
}

/* Starts, each with what it was told; how many until the trail was gone. */
static int starts_until_forgotten(struct trails *trails, int most, int misfits_in, int of)
{
    struct msg_process_trail_reply reply;
    for (int i = 0; i < most; i++) {
        get(trails, file_of(5), &reply);
        if (!reply.files_count)
            return i;
        if (i % of < misfits_in)
            assert_int_equal(misfit(trails, 5), 0);
    }
    return most;
}

static void one_that_does_not_fit_is_forgotten(void **state)
{
    struct trails *trails = *state;
    enum { MANY = 1000, FEW = 20 };
    assert_int_equal(misfit(trails, 5), 0); /* of none that is known */
    assert_int_equal(put(trails, 5, 40), 0);
    assert_int_equal(starts_until_forgotten(trails, MANY, 0, 1), MANY);
    assert_int_equal(starts_until_forgotten(trails, MANY, 1, 2), MANY);
    assert_in_range(starts_until_forgotten(trails, MANY, 1, 1), 2, FEW);
    assert_int_equal(put(trails, 5, 41), 0);
    assert_int_equal(starts_until_forgotten(trails, MANY, 1, 2), MANY);
}

static int begin(void **state)
{
    return (*state = trails_new()) ? 0 : -1;
}

static int end(void **state)
{
    trails_free(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(finds_what_was_put, begin, end),
        cmocka_unit_test_setup_teardown(another_version_is_another_program, begin, end),
        cmocka_unit_test_setup_teardown(refuses_what_makes_no_sense, begin, end),
        cmocka_unit_test_setup_teardown(the_longest_unused_gives_way, begin, end),
        cmocka_unit_test_setup_teardown(one_that_does_not_fit_is_forgotten, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
