/* store/postgres/streamed.c — see streamed.h. A file is a row of records: u32 subxid, u32 length, the message. */
#include "store/postgres/streamed.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct streamed_txn {
    struct streamed_txn *next;
    uint32_t xid;
    FILE *file;
    uint32_t *aborted; /* subtransactions, sorted only when few: searched linearly once per change of subxid */
    size_t aborted_count;
};

struct streamed {
    char *dir;
    struct streamed_txn *txns;
};

struct streamed_reader {
    struct streamed_txn *txn;
    char *path;
    uint32_t last_subxid;
    bool last_aborted;
};

static char *path_of(const char *dir, uint32_t xid)
{
    return mem_format("%s/%" PRIu32 ".streamed", dir, xid);
}

static void empty_dir(const char *dir)
{
    DIR *d = opendir(dir);
    struct dirent *e;

    if (d == NULL)
        return;
    while ((e = readdir(d)) != NULL)
        if (strstr(e->d_name, ".streamed") != NULL)
            (void)unlinkat(dirfd(d), e->d_name, 0);
    closedir(d);
}

enum err streamed_open(const char *state_dir, const char *store, struct streamed **ret, struct fault *f)
{
    AUTO_CHARS *parent = mem_format("%s/streamed", state_dir);
    AUTO_CHARS *dir = mem_format("%s/streamed/%s", state_dir, store);
    struct streamed *s;

    if ((mkdir(parent, 0700) != 0 && errno != EEXIST) || (mkdir(dir, 0700) != 0 && errno != EEXIST))
        return fault_set(f, ERR_STATE_DIR, "cannot make %s: %s", dir, strerror(errno));
    empty_dir(dir);
    s = mem_alloc(sizeof *s);
    s->dir = TAKE(dir);
    *ret = s;
    return ERR_OK;
}

static void txn_free(struct streamed_txn *t)
{
    if (t->file != NULL)
        fclose(t->file);
    free(t->aborted);
    free(t);
}

void streamed_free(struct streamed *s)
{
    if (s == NULL)
        return;
    while (s->txns != NULL) {
        struct streamed_txn *t = s->txns;
        s->txns = t->next;
        txn_free(t);
    }
    empty_dir(s->dir);
    free(s->dir);
    free(s);
}

static struct streamed_txn **find(struct streamed *s, uint32_t xid)
{
    struct streamed_txn **at = &s->txns;

    while (*at != NULL && (*at)->xid != xid)
        at = &(*at)->next;
    return at;
}

static enum err make(struct streamed *s, uint32_t xid, struct streamed_txn **ret, struct fault *f)
{
    AUTO_CHARS *path = path_of(s->dir, xid);
    struct streamed_txn *t = mem_alloc(sizeof *t);

    t->xid = xid;
    t->file = fopen(path, "w+e");
    if (t->file == NULL) {
        free(t);
        return fault_set(f, ERR_SPOOL_FULL, "cannot make %s: %s", path, strerror(errno));
    }
    t->next = s->txns;
    s->txns = t;
    *ret = t;
    return ERR_OK;
}

enum err streamed_add(struct streamed *s, uint32_t xid, uint32_t subxid, const char *raw, size_t len, struct fault *f)
{
    struct streamed_txn *t = *find(s, xid);
    uint32_t head[2] = {subxid, (uint32_t)len};

    if (t == NULL)
        TRY(make(s, xid, &t, f));
    if (fwrite(head, sizeof head, 1, t->file) != 1 || fwrite(raw, 1, len, t->file) != len)
        return fault_set(f, ERR_SPOOL_FULL, "cannot keep streamed transaction %" PRIu32 ": %s", xid, strerror(errno));
    return ERR_OK;
}

enum err streamed_abort(struct streamed *s, uint32_t xid, uint32_t subxid, struct fault *f)
{
    struct streamed_txn **at = find(s, xid);
    struct streamed_txn *t = *at;

    (void)f;
    if (t == NULL)
        return ERR_OK; /* nothing of it was kept: no change of a published table */
    if (subxid == xid) {
        AUTO_CHARS *path = path_of(s->dir, xid);
        *at = t->next;
        txn_free(t);
        (void)unlink(path);
        return ERR_OK;
    }
    t->aborted = mem_grow(t->aborted, (t->aborted_count + 1) * sizeof *t->aborted);
    t->aborted[t->aborted_count++] = subxid;
    return ERR_OK;
}

enum err streamed_commit(struct streamed *s, uint32_t xid, struct streamed_reader **ret, struct fault *f)
{
    struct streamed_txn **at = find(s, xid);
    struct streamed_reader *r;

    if (*at == NULL) {
        struct streamed_txn *none;
        TRY(make(s, xid, &none, f));
        at = find(s, xid);
    }
    if (fflush((*at)->file) != 0)
        return fault_set(f, ERR_SPOOL_FULL, "cannot keep streamed transaction %" PRIu32 ": %s", xid, strerror(errno));
    r = mem_alloc(sizeof *r);
    r->txn = *at;
    *at = r->txn->next;
    r->path = path_of(s->dir, xid);
    rewind(r->txn->file);
    *ret = r;
    return ERR_OK;
}

static bool is_aborted(struct streamed_reader *r, uint32_t subxid)
{
    if (subxid == r->last_subxid)
        return r->last_aborted;
    r->last_subxid = subxid;
    r->last_aborted = false;
    for (size_t i = 0; i < r->txn->aborted_count && !r->last_aborted; i++)
        r->last_aborted = r->txn->aborted[i] == subxid;
    return r->last_aborted;
}

enum err streamed_next(struct streamed_reader *r, struct arena *a, const char **ret_raw, size_t *ret_len, struct fault *f)
{
    FILE *file = r->txn->file;
    uint32_t head[2];

    while (fread(head, sizeof head, 1, file) == 1) {
        char *raw;
        if (is_aborted(r, head[0])) {
            if (fseeko(file, (off_t)head[1], SEEK_CUR) != 0)
                return fault_set(f, ERR_SPOOL_DAMAGED, "%s: %s", r->path, strerror(errno));
            continue;
        }
        raw = arena_alloc(a, head[1]);
        if (fread(raw, 1, head[1], file) != head[1])
            return fault_set(f, ERR_SPOOL_DAMAGED, "%s ends in the middle of a message", r->path);
        *ret_raw = raw;
        *ret_len = head[1];
        return ERR_OK;
    }
    if (ferror(file))
        return fault_set(f, ERR_SPOOL_DAMAGED, "%s: %s", r->path, strerror(errno));
    *ret_raw = NULL;
    return ERR_OK;
}

void streamed_reader_free(struct streamed_reader *r)
{
    if (r == NULL)
        return;
    (void)unlink(r->path);
    txn_free(r->txn);
    free(r->path);
    free(r);
}
