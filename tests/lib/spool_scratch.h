/* tests/lib/spool_scratch.h — for the tests of the spool: a directory that goes away, messages of a form of their own,
 * and transactions that follow from a seed and their number, so that a reader can say of each what it must be.
 *
 * Messages: 'R' id version filler | 'I' id bytes | 'T' count ids. */
#ifndef LEAT_TESTS_SPOOL_SCRATCH_H
#define LEAT_TESTS_SPOOL_SCRATCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "replicate/spool_internal.h"

#define SMALL ((struct spool_sizes){4096, 512})
#define USUAL ((struct spool_sizes){SPOOL_SEGMENT_BYTES, SPOOL_BLOCK_BYTES})
#define NO_LIMIT UINT64_MAX

/* --- a directory --- */

static inline char *scratch_dir(void)
{
    const char *base = getenv("TMPDIR");
    char *dir = mem_format("%s/leat-spool-XXXXXX", base != NULL ? base : "/tmp");

    assert_non_null(mkdtemp(dir));
    return dir;
}

static inline void scratch_empty(const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *entry;

    assert_non_null(dir);
    while ((entry = readdir(dir)) != NULL)
        if (entry->d_name[0] != '.')
            assert_int_equal(unlinkat(dirfd(dir), entry->d_name, 0), 0);
    closedir(dir);
}

static inline void scratch_drop(char *dir)
{
    scratch_empty(dir);
    assert_int_equal(rmdir(dir), 0);
    free(dir);
}

static inline char *file_read(const char *dir, const char *name, size_t *ret_len)
{
    AUTO_CHARS *path = mem_format("%s/%s", dir, name);
    int fd = open(path, O_RDONLY);
    struct stat st;
    char *data;

    assert_true(fd >= 0 && fstat(fd, &st) == 0);
    data = mem_alloc((size_t)st.st_size + 1);
    assert_int_equal(read(fd, data, (size_t)st.st_size), st.st_size);
    close(fd);
    *ret_len = (size_t)st.st_size;
    return data;
}

static inline void file_write(const char *dir, const char *name, const char *data, size_t len)
{
    AUTO_CHARS *path = mem_format("%s/%s", dir, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, len), len);
    close(fd);
}

/* In memory where there is such a place: for tests that write the same files ten thousand times. */
static inline char *scratch_quick_dir(void)
{
    char *dir = mem_dup("/dev/shm/leat-spool-XXXXXX");

    if (access("/dev/shm", W_OK) == 0 && mkdtemp(dir) != NULL)
        return dir;
    free(dir);
    return scratch_dir();
}

/* --- numbers that follow from a seed --- */

struct dice {
    uint64_t state;
};

static inline uint64_t dice_next(struct dice *d)
{
    uint64_t z = d->state += UINT64_C(0x9E3779B97F4A7C15);

    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

static inline uint64_t dice_below(struct dice *d, uint64_t n)
{
    return dice_next(d) % n;
}

/* --- messages --- */

#define FAKE_RELATIONS 16u

static inline uint32_t fake_id(const char *raw)
{
    return spool_u32_decode(raw + 1);
}

static inline struct relation *fake_relation(struct arena *a, uint32_t id, uint32_t version)
{
    struct relation *r = arena_zalloc(a, sizeof *r);
    char *raw = arena_alloc(a, 64);

    memset(raw, 'x', 64);
    raw[0] = 'R';
    spool_u32_encode(id, (unsigned char *)raw + 1);
    spool_u32_encode(version, (unsigned char *)raw + 5);
    r->id = id;
    r->schema = r->name = "t";
    r->raw = raw;
    r->raw_len = 9 + (id + version) % 40;
    return r;
}

static inline struct change *fake_insert(struct arena *a, const struct relation *r, struct dice *d, uint32_t len)
{
    struct change *c = arena_zalloc(a, sizeof *c);
    char *raw = arena_alloc(a, 5 + (size_t)len);

    raw[0] = 'I';
    spool_u32_encode(r->id, (unsigned char *)raw + 1);
    for (uint32_t i = 0; i < len; i += 8) { /* half of it compresses */
        uint64_t v = (i & 8) != 0 ? dice_next(d) : 0;
        memcpy(raw + 5 + i, &v, len - i < 8 ? len - i : 8);
    }
    c->kind = CHANGE_INSERT;
    c->relation = r;
    c->raw = raw;
    c->raw_len = 5 + len;
    return c;
}

static inline struct change *fake_truncate(struct arena *a, const struct relation **list, uint32_t count)
{
    struct change *c = arena_zalloc(a, sizeof *c);
    char *raw = arena_alloc(a, 2 + 4 * (size_t)count);

    raw[0] = 'T';
    raw[1] = (char)count;
    for (uint32_t i = 0; i < count; i++)
        spool_u32_encode(list[i]->id, (unsigned char *)raw + 2 + 4 * (size_t)i);
    c->kind = CHANGE_TRUNCATE;
    c->truncated = arena_copy(a, list, count * sizeof *list);
    c->truncate_count = count;
    c->raw = raw;
    c->raw_len = 2 + 4 * count;
    return c;
}

/* The decoder knows the relations it was told of, and nothing else. */
struct fake_decoder {
    struct arena *arena;
    const struct relation *known[FAKE_RELATIONS];
};

static inline void *fake_make(void)
{
    struct fake_decoder *d = mem_alloc(sizeof *d);

    d->arena = arena_new(4096);
    return d;
}

static inline void fake_drop(void *decoder)
{
    struct fake_decoder *d = decoder;

    arena_free(d->arena);
    free(d);
}

static inline enum err fake_decode(void *decoder, struct arena *arena, const char *data, size_t len,
                                   struct change **ret, struct fault *f)
{
    struct fake_decoder *d = decoder;
    struct change *c;

    *ret = NULL;
    if (data[0] == 'R') {
        struct relation *r = fake_relation(d->arena, fake_id(data), spool_u32_decode(data + 5));
        if (r->raw_len != len || memcmp(r->raw, data, len) != 0)
            return fault_set(f, ERR_PROTOCOL, "a relation's description was changed");
        d->known[r->id] = r;
        return ERR_OK;
    }
    c = arena_zalloc(arena, sizeof *c);
    c->kind = (enum change_kind)data[0];
    c->raw = data;
    c->raw_len = (uint32_t)len;
    if (data[0] == 'I') {
        c->relation = d->known[fake_id(data)];
    } else {
        c->truncate_count = (uint32_t)data[1];
        c->truncated = arena_zalloc(arena, c->truncate_count * sizeof *c->truncated);
        for (uint32_t i = 0; i < c->truncate_count; i++)
            c->truncated[i] = d->known[spool_u32_decode(data + 2 + 4 * (size_t)i)];
    }
    if ((c->relation == NULL && c->truncate_count == 0) || (c->truncate_count > 0 && c->truncated[0] == NULL))
        return fault_set(f, ERR_PROTOCOL, "a change of a relation it was not told of");
    *ret = c;
    return ERR_OK;
}

static const struct spool_decoder fake = {fake_make, fake_drop, fake_decode};

/* --- transactions --- */

struct recipe {
    uint64_t seed;
    uint32_t max_changes;
    uint32_t max_len; /* of a message */
};

static inline struct lsn end_of(uint64_t n)
{
    return (struct lsn){n * 100};
}

/* Relation 3 of 4 is another's; its changes are not for the spool. */
static inline bool keep_most(void *ctx, const struct change *c)
{
    return c->relation == NULL || c->relation->id % 4 != 3;
}

/* Transaction n (from 1), whole. Descriptions change now and then, and their addresses every time. */
static inline struct txn *make_txn(struct parcel *p, const struct recipe *recipe, uint64_t n)
{
    struct dice d = {recipe->seed * 1000003 + n};
    struct txn *t = parcel_add_txn(p, (uint32_t)(n * 7), true);
    uint64_t changes = 1 + dice_below(&d, recipe->max_changes);
    const struct relation *relations[8];

    t->last = true;
    t->end = end_of(n);
    t->commit = (struct lsn){t->end.v - 40};
    t->commit_us = (int64_t)n * 1000 - 5000;
    for (uint32_t id = 0; id < 8; id++)
        relations[id] = fake_relation(p->arena, id, (uint32_t)((n + id) / 17 % 3));
    for (uint64_t i = 0; i < changes; i++) {
        uint32_t id = (uint32_t)dice_below(&d, n % 9 == 0 ? 1 : 8);
        if (n % 9 == 0)
            id = 3; /* nothing of these is kept */
        if (n % 9 != 0 && dice_below(&d, 20) == 0)
            txn_add_change(p, t, fake_truncate(p->arena, relations, 1 + id));
        else
            txn_add_change(p, t, fake_insert(p->arena, relations[id], &d, (uint32_t)dice_below(&d, recipe->max_len)));
    }
    return t;
}

static inline enum err append_txn(struct spool *s, const struct recipe *recipe, uint64_t n, struct fault *f)
{
    AUTO(parcel) *p = parcel_new();

    return s->ops->append(s, make_txn(p, recipe, n), keep_most, NULL, f);
}

/* A whole transaction given in parts of `step` changes; the last one only if `finish`. */
static inline enum err append_parts(struct spool *s, const struct recipe *recipe, uint64_t n, uint64_t step,
                                    bool finish, struct fault *f)
{
    AUTO(parcel) *p = parcel_new();
    struct txn *t = make_txn(p, recipe, n);
    struct change *next = t->changes;

    for (bool first = true, last = false; !last; first = false) {
        struct txn part = {
            .xid = t->xid, .first = first, .commit = t->commit, .commit_us = t->commit_us, .changes = next};
        struct change *cut = next;
        for (uint64_t i = 1; i < step && cut->next != NULL; i++)
            cut = cut->next;
        next = cut->next;
        cut->next = NULL;
        last = part.last = next == NULL;
        part.end = last ? t->end : LSN_ZERO;
        if (!last || finish)
            TRY(s->ops->append(s, &part, keep_most, NULL, f));
    }
    return ERR_OK;
}

static inline uint64_t hash_relation(uint64_t hash, const struct relation *r)
{
    return XXH3_64bits_withSeed(r->raw, r->raw_len, hash);
}

static inline uint64_t hash_change(uint64_t hash, const struct change *c)
{
    hash = XXH3_64bits_withSeed(c->raw, c->raw_len, hash);
    if (c->relation != NULL)
        hash = hash_relation(hash, c->relation);
    for (uint32_t i = 0; i < c->truncate_count; i++)
        hash = hash_relation(hash, c->truncated[i]);
    return hash;
}

struct expected {
    uint64_t hash;
    uint64_t kept;
};

static inline struct expected expect_txn(const struct recipe *recipe, uint64_t n)
{
    AUTO(parcel) *p = parcel_new();
    struct txn *t = make_txn(p, recipe, n);
    struct expected e = {0};

    for (struct change *c = t->changes; c != NULL; c = c->next) {
        if (keep_most(NULL, c)) {
            e.hash = hash_change(e.hash, c);
            e.kept++;
        }
    }
    return e;
}

/* --- reading all of it, and finding it right --- */

struct reader {
    const struct recipe *recipe;
    uint64_t max_bytes;
    uint64_t n; /* the last transaction read whole, or of which nothing was kept */
    bool inside;
    uint64_t hash;
    uint64_t kept;
    uint64_t parts;
};

/* NULL, or what is wrong with it. */
static inline const char *read_txn(struct reader *r, const struct txn *t)
{
    struct expected e;

    if (t->first == r->inside)
        return "parts out of order";
    while (!r->inside && expect_txn(r->recipe, r->n + 1).kept == 0)
        r->n++;
    if (!r->inside)
        r->hash = r->kept = 0;
    r->parts++;
    r->inside = !t->last;
    for (struct change *c = t->changes; c != NULL; c = c->next) {
        r->hash = hash_change(r->hash, c);
        r->kept++;
    }
    if (t->xid != (uint32_t)((r->n + 1) * 7) || t->commit.v != end_of(r->n + 1).v - 40 ||
        t->commit_us != (int64_t)(r->n + 1) * 1000 - 5000)
        return "not the transaction that follows";
    if (!t->last)
        return t->end.v == 0 ? NULL : "an end before the last part";
    e = expect_txn(r->recipe, ++r->n);
    if (t->end.v != end_of(r->n).v)
        return "its end is another";
    return e.hash == r->hash && e.kept == r->kept ? NULL : "its changes are others";
}

static inline const char *read_parcel_of(struct reader *r, const struct parcel *p)
{
    uint64_t first_bytes = p->txns->bytes;

    for (const struct txn *t = p->txns; t != NULL; t = t->next) {
        const char *wrong = read_txn(r, t);
        if (wrong != NULL)
            return wrong;
        if (!t->last && (t->next != NULL || (t != p->txns && t->first)))
            return "a part that is neither alone nor the rest of one";
        if (!t->last && t->bytes + r->recipe->max_len + 64 < r->max_bytes)
            return "a part smaller than a parcel";
    }
    if (p->bytes > r->max_bytes && p->change_count > 1 && first_bytes != p->bytes)
        return "a parcel too large";
    return (p->idle_end.v != 0) == !r->inside ? NULL : "idle_end is wrong";
}

/* Reads until caught up. The error of the cursor, or ERR_BUG with what was wrong. */
static inline enum err read_on(struct spool *s, struct spool_cursor *c, struct reader *r, struct fault *f)
{
    for (;;) {
        AUTO(parcel) *p = NULL;
        const char *wrong;
        TRY(s->ops->next(c, r->max_bytes, &p, f));
        if (p == NULL)
            return ERR_OK;
        wrong = read_parcel_of(r, p);
        if (wrong != NULL)
            return fault_set(f, ERR_BUG, "transaction %llu: %s", (unsigned long long)r->n, wrong);
    }
}

/* Everything after transaction `after`. *ret_n: the last one read. */
static inline enum err read_all(struct spool *s, const struct recipe *recipe, uint64_t max_bytes, uint64_t after,
                                uint64_t *ret_n, struct fault *f)
{
    struct reader r = {.recipe = recipe, .max_bytes = max_bytes, .n = after};
    struct spool_cursor *c = NULL;
    enum err err = s->ops->open_cursor(s, end_of(after), &c, f);

    if (err == ERR_OK)
        err = read_on(s, c, &r, f);
    if (err == ERR_OK && r.inside)
        err = fault_set(f, ERR_BUG, "it ends within a transaction");
    if (c != NULL)
        s->ops->close_cursor(c);
    *ret_n = r.n;
    return err;
}

/* The greatest n <= m of which something is kept (0: none). */
static inline uint64_t last_kept(const struct recipe *recipe, uint64_t m)
{
    while (m > 0 && expect_txn(recipe, m).kept == 0)
        m--;
    return m;
}

static inline void assert_ok_at(enum err err, const struct fault *f, const char *file, int line)
{
    char text[4096];

    if (err == ERR_OK)
        return;
    print_error("%s\n", fault_text(f, text, sizeof text));
    _fail(file, line);
}
#define assert_ok(expr)                                                                                                \
    do {                                                                                                               \
        struct fault fault_ = {0};                                                                                     \
        struct fault *f = &fault_;                                                                                     \
        assert_ok_at((expr), f, __FILE__, __LINE__);                                                                   \
    } while (0)
#define assert_err(expected_, expr)                                                                                    \
    do {                                                                                                               \
        struct fault fault_ = {0};                                                                                     \
        struct fault *f = &fault_;                                                                                     \
        assert_string_equal(err_info(expr)->code, err_info(expected_)->code);                                          \
        assert_string_equal(err_info(fault_.code)->code, err_info(expected_)->code);                                   \
    } while (0)

static inline struct spool *open_small(const char *dir)
{
    struct spool *s = NULL;

    assert_ok(spool_file_open_sized(dir, NO_LIMIT, SMALL, &fake, &s, f));
    return s;
}

static inline void assert_reads(struct spool *s, const struct recipe *recipe, uint64_t max_bytes, uint64_t after,
                                uint64_t last)
{
    uint64_t kept = last_kept(recipe, last);
    uint64_t n = 0;

    assert_ok(read_all(s, recipe, max_bytes, after, &n, f));
    assert_int_equal(n, kept > after ? kept : after);
}

static inline uint64_t segments_in(const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *entry;
    uint64_t count = 0;

    assert_non_null(dir);
    while ((entry = readdir(dir)) != NULL)
        count += strstr(entry->d_name, ".spool") != NULL;
    closedir(dir);
    return count;
}

#endif
