/* tests/unit/test_spool_crash.c — the spool in files when things break: kills, torn ends, damage, full disks, a disk
 * that does not keep what it took. */
#include "../lib/spool_scratch.h"

#include <errno.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/world.h"

static const struct recipe txns = {.seed = 11, .max_changes = 12, .max_len = 120};
static const struct recipe large_txns = {.seed = 12, .max_changes = 60, .max_len = 400};

/* Stands in front of libc's. */
static bool disk_forgets;
int fdatasync(int fd)
{
    if (disk_forgets) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fdatasync, fd);
}

/* --- a copy of a spool's files, to be broken again and again --- */

struct image {
    struct {
        char name[64];
        char *data;
        size_t len;
    } files[64];
    size_t count;
};

static void image_take(struct image *image, const char *dir)
{
    DIR *d = opendir(dir);
    struct dirent *entry;

    assert_non_null(d);
    while ((entry = readdir(d)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        assert_true(image->count < 64);
        snprintf(image->files[image->count].name, sizeof image->files[0].name, "%.60s", entry->d_name);
        image->files[image->count].data = file_read(dir, entry->d_name, &image->files[image->count].len);
        image->count++;
    }
    closedir(d);
}

static void image_put(const struct image *image, const char *dir)
{
    scratch_empty(dir);
    for (size_t i = 0; i < image->count; i++)
        file_write(dir, image->files[i].name, image->files[i].data, image->files[i].len);
}

static void image_fini(struct image *image)
{
    for (size_t i = 0; i < image->count; i++)
        free(image->files[i].data);
}

static uint64_t bytes_in(const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *entry;
    struct stat st;
    uint64_t bytes = 0;

    assert_non_null(dir);
    while ((entry = readdir(dir)) != NULL)
        if (strstr(entry->d_name, ".spool") != NULL && fstatat(dirfd(dir), entry->d_name, &st, 0) == 0)
            bytes += (uint64_t)st.st_size;
    closedir(dir);
    return bytes;
}

/* Opens and reads all; ret_last as read_all, ret_end what the spool says. */
static enum err open_and_read(const char *dir, const struct recipe *recipe, uint64_t *ret_last, struct lsn *ret_end,
                              struct fault *f)
{
    struct spool *s = NULL;
    enum err err;

    TRY(spool_file_open_sized(dir, NO_LIMIT, SMALL, &fake, &s, f));
    err = read_all(s, recipe, 5000, 0, ret_last, f);
    *ret_end = s->ops->end(s);
    assert_int_equal(s->ops->bytes(s), bytes_in(dir)); /* nothing torn is left */
    s->ops->free(s);
    return err;
}

/* What is there is a prefix of what was appended, not shorter than what was synced; and the spool goes on from it. */
static void assert_whole_prefix(const char *dir, const struct recipe *recipe, uint64_t synced, uint64_t appended)
{
    struct lsn end;
    uint64_t last;
    uint64_t n;

    assert_ok(open_and_read(dir, recipe, &last, &end, f));
    n = end.v / 100;
    assert_int_equal(end.v, end_of(n).v);
    assert_in_range(n, synced, appended);
    assert_int_equal(last, last_kept(recipe, n));
}

/* --- a torn end --- */

/* Synced up to `synced`, written (but not synced) to about `upto`, then a part of one more. */
static void make_torn(struct image *image, char *dir, uint64_t synced, uint64_t upto)
{
    struct spool *s = open_small(dir);
    struct lsn end;

    for (uint64_t n = 1; n <= upto; n++) {
        assert_ok(append_txn(s, &txns, n, f));
        if (n == synced)
            assert_ok(s->ops->sync(s, &end, f));
    }
    assert_ok(append_parts(s, &large_txns, upto + 1, 4, false, f)); /* spills: its blocks are in the files */
    image_take(image, dir);
    s->ops->free(s);
}

static struct spool_place durable_of(const char *dir)
{
    struct spool *s = open_small(dir);
    struct spool_place durable = ((struct spool_file *)s)->durable;

    s->ops->free(s);
    return durable;
}

static void goes_on(const char *dir)
{
    struct spool *s = open_small(dir);
    uint64_t n = s->ops->end(s).v / 100;

    for (uint64_t i = n + 1; i <= n + 12; i++)
        assert_ok(append_txn(s, &txns, i, f));
    assert_reads(s, &txns, 5000, 0, n + 12);
    s->ops->free(s);
}

static void a_torn_end_is_cut_at_every_byte(void **state)
{
    struct image image = {0};
    char *dir = scratch_quick_dir();
    struct spool_place durable;
    char name[32];
    uint64_t tried = 0;

    make_torn(&image, dir, 12, 30);
    image_put(&image, dir);
    durable = durable_of(dir);
    spool_segment_name(durable.segment, name);
    for (size_t i = 0; i < image.count; i++) {
        bool same = strcmp(image.files[i].name, name) == 0;
        if (strstr(image.files[i].name, ".spool") == NULL || strcmp(image.files[i].name, name) < 0)
            continue;
        for (size_t len = same ? durable.offset : 0; len <= image.files[i].len; len++, tried++) {
            image_put(&image, dir);
            file_write(dir, image.files[i].name, image.files[i].data, len);
            assert_whole_prefix(dir, &txns, 12, 30);
            if (len % 97 == 0)
                goes_on(dir);
        }
    }
    assert_true(tried > 3000);
    image_fini(&image);
    scratch_drop(dir);
}

static void garbage_after_the_synced_end_is_cut_at_every_byte(void **state)
{
    struct image image = {0};
    char *dir = scratch_quick_dir();
    struct spool_place durable;
    char name[32];

    make_torn(&image, dir, 12, 20);
    image_put(&image, dir);
    durable = durable_of(dir);
    spool_segment_name(durable.segment, name);
    for (size_t i = 0; i < image.count; i++) {
        bool same = strcmp(image.files[i].name, name) == 0;
        if (strstr(image.files[i].name, ".spool") == NULL || strcmp(image.files[i].name, name) < 0)
            continue;
        for (size_t at = same ? durable.offset : 0; at < image.files[i].len; at++) {
            image.files[i].data[at] ^= 0x24;
            image_put(&image, dir);
            image.files[i].data[at] ^= 0x24;
            assert_whole_prefix(dir, &txns, 12, 20);
        }
    }
    image_fini(&image);
    scratch_drop(dir);
}

static void a_torn_end_shorter_than_what_was_synced_is_damage(void **state)
{
    struct image image = {0};
    char *dir = scratch_quick_dir();
    struct spool_place durable;
    uint64_t last;
    struct lsn end;
    char name[32];

    make_torn(&image, dir, 12, 30);
    image_put(&image, dir);
    durable = durable_of(dir);
    for (uint64_t number = 1; number <= durable.segment; number++) {
        size_t size;
        AUTO_CHARS *data = NULL;
        image_put(&image, dir);
        spool_segment_name(number, name);
        data = file_read(dir, name, &size);
        for (size_t len = 0; len < (number == durable.segment ? durable.offset : size); len += 7) {
            image_put(&image, dir);
            file_write(dir, name, data, len);
            assert_err(ERR_SPOOL_DAMAGED, open_and_read(dir, &txns, &last, &end, f));
        }
    }
    image_fini(&image);
    scratch_drop(dir);
}

/* --- damage --- */

/* One bit, at every byte of every file: damage where it was synced, harmless in one of the two records of meta. */
static void damage_is_found_at_every_byte(void **state)
{
    struct image image = {0};
    char *dir = scratch_quick_dir();
    struct spool *s = open_small(dir);
    struct lsn end;
    uint64_t last;
    uint64_t found = 0;

    for (uint64_t n = 1; n <= 20; n++)
        assert_ok(append_txn(s, &txns, n, f));
    assert_ok(s->ops->sync(s, &end, f));
    image_take(&image, dir);
    s->ops->free(s);
    for (size_t i = 0; i < image.count; i++) {
        bool meta = strcmp(image.files[i].name, "meta") == 0;
        for (size_t at = 0; at < image.files[i].len; at++) {
            struct fault f = {0};
            enum err err;
            image.files[i].data[at] ^= (char)(1 << (at % 8));
            image_put(&image, dir);
            image.files[i].data[at] ^= (char)(1 << (at % 8));
            err = open_and_read(dir, &txns, &last, &end, &f);
            assert_int_equal(err, meta ? ERR_OK : ERR_SPOOL_DAMAGED);
            if (meta)
                assert_int_equal(last, last_kept(&txns, 20));
            else
                assert_non_null(strstr(f.why, image.files[i].name));
            found += err != ERR_OK;
        }
    }
    assert_true(found > 5000);
    image_fini(&image);
    scratch_drop(dir);
}

static void missing_files_are_damage(void **state)
{
    struct image image = {0};
    char *dir = scratch_dir();
    struct spool *s = open_small(dir);
    struct lsn end;
    uint64_t last;

    for (uint64_t n = 1; n <= 30; n++)
        assert_ok(append_txn(s, &txns, n, f));
    assert_ok(s->ops->sync(s, &end, f));
    image_take(&image, dir);
    s->ops->free(s);
    for (size_t i = 0; i < image.count; i++) {
        AUTO_CHARS *path = mem_format("%s/%s", dir, image.files[i].name);
        image_put(&image, dir);
        assert_int_equal(unlink(path), 0);
        assert_err(ERR_SPOOL_DAMAGED, open_and_read(dir, &txns, &last, &end, f));
    }
    image_fini(&image);
    scratch_drop(dir);
}

/* Each whole in itself, but not where it stands. */
static void exchanged_segments_are_damage(void **state)
{
    char *dir = scratch_dir();
    char *other_dir = scratch_dir();
    struct spool *s = open_small(dir);
    struct spool *other = open_small(other_dir);
    AUTO_CHARS *data = NULL;
    struct lsn end;
    uint64_t last;
    size_t len;

    for (uint64_t n = 1; n <= 100; n++) {
        assert_ok(append_txn(s, &txns, n, f));
        assert_ok(append_txn(other, &txns, n, f));
    }
    assert_ok(s->ops->sync(s, &end, f));
    assert_ok(other->ops->sync(other, &end, f));
    s->ops->free(s);
    other->ops->free(other);
    data = file_read(other_dir, "00000002.spool", &len);
    file_write(dir, "00000002.spool", data, len);
    assert_err(ERR_SPOOL_DAMAGED, open_and_read(dir, &txns, &last, &end, f));
    scratch_drop(dir);
    scratch_drop(other_dir);
}

static void a_newer_format_is_not_opened(void **state)
{
    char *dir = scratch_dir();
    struct spool *s = open_small(dir);
    char *data;
    size_t len;

    s->ops->free(s);
    data = file_read(dir, "meta", &len);
    for (size_t slot = 0; slot < 2; slot++) {
        unsigned char *record = (unsigned char *)data + slot * SPOOL_META_SLOT;
        spool_u32_encode(SPOOL_VERSION + 1, record + 8);
        spool_u64_encode(XXH3_64bits(record, SPOOL_META_RECORD - 8), record + SPOOL_META_RECORD - 8);
    }
    file_write(dir, "meta", data, len);
    s = NULL;
    assert_err(ERR_STATE_NEWER, spool_file_open(dir, NO_LIMIT, &fake, &s, f));
    assert_null(s);
    free(data);
    scratch_drop(dir);
}

/* --- kills --- */

struct victim {
    pid_t pid;
    int reports;
};

static void victim_run(const char *dir, int reports, struct dice d)
{
    struct spool *s = NULL;
    struct fault f = {0};
    struct lsn end;

    if (spool_file_open_sized(dir, NO_LIMIT, SMALL, &fake, &s, &f) != ERR_OK)
        _exit(1);
    for (uint64_t n = s->ops->end(s).v / 100 + 1;; n++) {
        enum err err = n % 4 == 0 ? append_parts(s, &large_txns, n, 5, true, &f) : append_txn(s, &large_txns, n, &f);
        if (err != ERR_OK)
            _exit(2);
        if (dice_below(&d, 6) != 0)
            continue;
        if (s->ops->sync(s, &end, &f) != ERR_OK || write(reports, &end.v, sizeof end.v) != sizeof end.v)
            _exit(3);
    }
}

static struct victim victim_start(const char *dir, struct dice d)
{
    struct victim v;
    int fds[2];

    assert_int_equal(pipe(fds), 0);
    v.pid = fork();
    assert_true(v.pid >= 0);
    if (v.pid == 0) {
        close(fds[0]);
        victim_run(dir, fds[1], d);
    }
    close(fds[1]);
    v.reports = fds[0];
    return v;
}

/* Kills it after some reports, and some microseconds more. Returns the last end it reported. */
static uint64_t victim_kill(struct victim *v, struct dice *d, uint64_t reported)
{
    uint64_t reports = dice_below(d, 4);
    int64_t until;
    uint64_t end;
    int status;

    while (reports-- > 0 && read(v->reports, &end, sizeof end) == sizeof end)
        reported = end;
    until = world_mono_us() + (int64_t)dice_below(d, 3000);
    while (world_mono_us() < until)
        continue;
    kill(v->pid, SIGKILL);
    while (read(v->reports, &end, sizeof end) == sizeof end)
        reported = end;
    assert_int_equal(waitpid(v->pid, &status, 0), v->pid);
    assert_true(WIFSIGNALED(status));
    close(v->reports);
    return reported;
}

static void killed_at_any_instant_it_holds_a_prefix(void **state)
{
    const char *rounds = getenv("LEAT_TEST_KILLS");
    char *dir = scratch_dir();
    struct dice d = {99};
    uint64_t reported = 0;
    uint64_t most = 0;

    for (uint64_t i = 0; i < (rounds != NULL ? strtoull(rounds, NULL, 10) : 60); i++) {
        struct victim v = victim_start(dir, (struct dice){i});
        reported = victim_kill(&v, &d, reported);
        assert_whole_prefix(dir, &large_txns, reported / 100, UINT64_MAX);
        most = reported > most ? reported : most;
        if (i % 30 == 29) { /* once more from an empty directory */
            scratch_empty(dir);
            reported = 0;
        }
    }
    assert_true(most > 0);
    scratch_drop(dir);
}

/* --- full disks --- */

/* Appends until it is full; then trims, and finds that everything is there and goes on. `give` gives space. */
static void fills_and_goes_on(char *dir, const struct recipe *recipe, void (*give)(void))
{
    struct spool *s = open_small(dir);
    struct fault fault = {0};
    struct lsn end = LSN_ZERO;
    uint64_t n = 1;

    while (append_parts(s, recipe, n, 5, true, &fault) == ERR_OK && n < 10000)
        n++;
    assert_int_equal(fault.code, ERR_SPOOL_FULL);
    assert_true(n > 3);
    for (int i = 0; i < 3; i++) { /* and stays so, without any harm */
        assert_err(ERR_SPOOL_FULL, append_parts(s, recipe, n, 5, true, f));
        assert_int_equal(s->ops->end(s).v, end_of(n - 1).v);
        assert_reads(s, recipe, 5000, 0, n - 1);
    }
    give();
    for (uint64_t i = n; i < n + 5; i++)
        assert_ok(append_parts(s, recipe, i, 5, true, f));
    assert_ok(s->ops->sync(s, &end, f));
    assert_reads(s, recipe, 5000, 0, n + 4);
    s->ops->free(s);
    assert_whole_prefix(dir, recipe, n + 4, n + 4);
}

static char *full_dir;

static void give_tmpfs(void)
{
    assert_int_equal(mount("none", full_dir, "tmpfs", MS_REMOUNT, "size=4m"), 0);
}

static void a_full_disk_takes_back_whole_transactions(void **state)
{
    full_dir = scratch_dir();
    if (mount("none", full_dir, "tmpfs", 0, "size=256k") != 0) {
        print_message("no right to mount a small disk: skipped (a limit on file size is tried below)\n");
        scratch_drop(full_dir);
        skip();
    }
    fills_and_goes_on(full_dir, &large_txns, give_tmpfs);
    scratch_empty(full_dir);
    assert_int_equal(umount(full_dir), 0);
    scratch_drop(full_dir);
}

static struct rlimit file_limit;

static void give_file_size(void)
{
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &file_limit), 0);
}

/* The first segment may grow to some 3000 bytes, though the spool would have it grow to 4096. */
static void a_limit_on_file_size_does_the_same(void **state)
{
    char *dir = scratch_dir();
    struct rlimit less;

    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &file_limit), 0);
    less = (struct rlimit){.rlim_cur = SPOOL_META_SLOT + SPOOL_META_RECORD - 1000, .rlim_max = file_limit.rlim_max};
    {
        struct spool *s = open_small(dir); /* its meta file is larger than that */
        s->ops->free(s);
    }
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &less), 0);
    fills_and_goes_on(dir, &txns, give_file_size);
    scratch_drop(dir);
}

/* --- a disk that does not keep what it took --- */

static void what_a_disk_did_not_keep_is_not_believed(void **state)
{
    char *dir = scratch_dir();
    struct spool *s = open_small(dir);
    struct spool_cursor *c = NULL;
    struct parcel *p = NULL;
    struct lsn end;

    for (uint64_t n = 1; n <= 60; n++) {
        assert_ok(append_txn(s, &txns, n, f));
        if (n == 30)
            assert_ok(s->ops->sync(s, &end, f));
    }
    assert_ok(s->ops->open_cursor(s, LSN_ZERO, &c, f));
    disk_forgets = true;
    assert_err(ERR_SYSTEM, s->ops->sync(s, &end, f));
    disk_forgets = false;
    assert_int_equal(end.v, end_of(30).v);
    assert_err(ERR_SYSTEM, s->ops->sync(s, &end, f)); /* for ever: the disk would now say yes, and have lost it */
    assert_err(ERR_SYSTEM, append_txn(s, &txns, 61, f));
    assert_err(ERR_SYSTEM, s->ops->next(c, 1 << 20, &p, f));
    s->ops->close_cursor(c);
    s->ops->free(s);
    assert_whole_prefix(dir, &txns, 30, 30);
    scratch_drop(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_torn_end_is_cut_at_every_byte),
        cmocka_unit_test(garbage_after_the_synced_end_is_cut_at_every_byte),
        cmocka_unit_test(a_torn_end_shorter_than_what_was_synced_is_damage),
        cmocka_unit_test(damage_is_found_at_every_byte),
        cmocka_unit_test(missing_files_are_damage),
        cmocka_unit_test(exchanged_segments_are_damage),
        cmocka_unit_test(a_newer_format_is_not_opened),
        cmocka_unit_test(killed_at_any_instant_it_holds_a_prefix),
        cmocka_unit_test(a_full_disk_takes_back_whole_transactions),
        cmocka_unit_test(a_limit_on_file_size_does_the_same),
        cmocka_unit_test(what_a_disk_did_not_keep_is_not_believed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
