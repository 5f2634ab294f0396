/* tests/fuzz/fuzz_session.c — what a session says of itself, and the query strings in it, from a server nobody vouches
 * for.
 *
 * A DataRow's body. Of what is accepted every text is read; it is the same as itself; what a rebuilding makes of it are
 * whole messages; and a PREPARE that is found lies within its query string. Every input is looked at for notes, too,
 * and as a query string. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "shift/inspect.h"
#include "shift/notes.h"
#include "shift/rebuild.h"
#include "wire/bytes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_messages(const struct buf *b)
{
    struct bytes r = {.start = b->data, .at = b->data, .end = b->data + b->len};

    while (r.at < r.end) {
        uint32_t len;

        ENSURE(strchr("PBECS", bytes_u8(&r)) != NULL);
        len = bytes_u32(&r);
        ENSURE(len >= 4);
        bytes_skip(&r, len - 4);
        ENSURE(r.wrong == NULL);
    }
}

static void check_state(const struct session_state *s, struct arena *arena)
{
    struct rebuild r = {.state = s, .login_user = "app", .unnamed = "\0\0\0", .unnamed_len = 4};
    AUTO_BUF out = {0};
    struct fault f = {0};
    const char *why = session_state_differs(s, s, arena);
    const char *unmovable = session_unmovable(s, arena);

    ENSURE((why == NULL) == (unmovable == NULL) && (why == NULL || strcmp(why, unmovable) == 0));
    if (rebuild_request(&r, &out, &f) == ERR_OK)
        check_messages(&out);
    else
        ENSURE(f.code == ERR_UNMOVABLE && out.len == 0);
}

/* In pieces no name is missed that is found in the whole. */
static void check_pieces(const char *text, const struct session_notes *whole)
{
    struct session_notes n = {0};
    size_t len = strlen(text);
    size_t cut = len > 0 ? (unsigned char)text[0] * len / 256 : 0;

    session_notes_piece(&n, text, cut, SESSION_TEXT_ONCE, true);
    session_notes_piece(&n, text + cut, len - cut, SESSION_TEXT_ONCE, false);
    ENSURE(n.customs_lost || (!whole->customs_lost && n.custom_count >= whole->custom_count));
    session_notes_fini(&n);
}

static void check_text(const char *text)
{
    struct session_notes n = {0};
    size_t len = 0;
    const char *found = rebuild_find_prepare(text, "a", &len);

    ENSURE(found == NULL || (found >= text && len <= strlen(found) && strncasecmp(found, "prepare", 7) == 0));
    session_notes_text(&n, text, strlen(text), SESSION_TEXT_ONCE);
    for (size_t i = 0; i < n.custom_count; i++)
        ENSURE(strchr(n.customs[i], '.') != NULL);
    check_pieces(text, &n);
    session_notes_fini(&n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(arena) *arena = arena_new(4096);
    AUTO_CHARS *block = malloc(size + 1); /* a text of its own size and a NUL; as bytes, of exactly its size */
    AUTO_CHARS *bytes = malloc(size > 0 ? size : 1);
    struct session_state *s = NULL;
    struct fault f = {0};

    if (size > 0) {
        memcpy(block, data, size);
        memcpy(bytes, data, size);
    }
    block[size] = '\0';
    check_text(block);
    if (session_state_parse_row(arena, bytes, size, &s, &f) == ERR_OK)
        check_state(s, arena);
    else
        ENSURE(s == NULL && f.code == ERR_PROTOCOL);
    return 0;
}
