/* shift_shim.c — the door's pure parts as functions that a scenario can call (tests/lib/shift.py): text and bytes in,
 * bytes out.
 *
 * What is returned stays good until the next call. An answer of -1: it failed, and shim_why() says why. */
#include <string.h>

#include "shift/inspect.h"
#include "shift/notes.h"
#include "shift/rebuild.h"
#include "wire/scram.h"

long shim_inspect(int how, const char *customs, int locks, const char **ret);
long shim_unmovable(const char *json, size_t len, const char **ret);
long shim_differs(const char *a, size_t a_len, const char *b, size_t b_len, const char **ret);
long shim_rebuild(const char *json, size_t len, const char *login, const char *unnamed, size_t unnamed_len, int from,
                  const char **ret);
long shim_map(int what, int from, const uint32_t *types, const uint16_t *formats, size_t count, char *body, size_t len);
int shim_types_add(int side, const char *oid, const char *name, const char *kind, const char *parts);
int shim_types_seal(void);
void shim_types_none(void);
long shim_scram_first(const char *verifier, const char *password, const char **ret);
long shim_scram_next(const char *server_first, size_t len, const char **ret);
long shim_scram_final(const char *server_final, size_t len);
const char *shim_why(void);

static struct arena *arena;
static struct buf out;
static struct fault fault;
static struct type_map *map;

static void begin(void)
{
    arena_free(arena);
    arena = arena_new(4096);
    buf_clear(&out);
    fault = (struct fault){0};
}

static long give(const char *text, const char **ret)
{
    *ret = text;
    return text != NULL ? (long)strlen(text) : 0;
}

const char *shim_why(void)
{
    static char text[4096];

    return fault_text(&fault, text, sizeof text);
}

long shim_inspect(int how, const char *customs, int locks, const char **ret)
{
    const char *names[64];
    size_t count = 0;

    begin();
    for (char *at = *customs != '\0' ? arena_strdup(arena, customs) : NULL; at != NULL && count < 64;) {
        char *comma = strchr(at, ',');

        names[count++] = at;
        if (comma != NULL)
            *comma++ = '\0';
        at = comma;
    }
    if (how == 'f')
        inspect_forget(&out);
    else if (how == 'a')
        inspect_again(&out);
    else
        (how == 'k' ? inspect_keep : inspect_request)(&out, names, count, locks != 0);
    *ret = out.data;
    return (long)out.len;
}

long shim_unmovable(const char *json, size_t len, const char **ret)
{
    struct session_state *state;

    begin();
    if (session_state_parse(arena, json, len, &state, &fault) != ERR_OK)
        return -1;
    return give(session_unmovable(state, arena), ret);
}

long shim_differs(const char *a, size_t a_len, const char *b, size_t b_len, const char **ret)
{
    struct session_state *one;
    struct session_state *two;

    begin();
    if (session_state_parse(arena, a, a_len, &one, &fault) != ERR_OK ||
        session_state_parse(arena, b, b_len, &two, &fault) != ERR_OK)
        return -1;
    return give(session_state_differs(one, two, arena), ret);
}

long shim_rebuild(const char *json, size_t len, const char *login, const char *unnamed, size_t unnamed_len, int from,
                  const char **ret)
{
    struct rebuild r = {.login_user = login,
                        .types = {map, (enum type_side)from},
                        .unnamed_types = {map, (enum type_side)from},
                        .unnamed = unnamed,
                        .unnamed_len = unnamed_len};
    struct session_state *state;

    begin();
    if (session_state_parse(arena, json, len, &state, &fault) != ERR_OK)
        return -1;
    r.state = state;
    if (rebuild_request(&r, &out, &fault) != ERR_OK)
        return -1;
    *ret = out.data;
    return (long)out.len;
}

int shim_types_add(int side, const char *oid, const char *name, const char *kind, const char *parts)
{
    if (map == NULL)
        map = type_map_new();
    return type_map_add(map, (enum type_side)side, oid, name, kind, parts);
}

int shim_types_seal(void)
{
    type_map_seal(map);
    return type_map_is_identity(map);
}

void shim_types_none(void)
{
    type_map_free(map);
    map = NULL;
}

/* what: 'P' Parse, 'B' Bind, 't' ParameterDescription, 'T' RowDescription, 'D' DataRow. The body is rewritten where it
 * is. */
long shim_map(int what, int from, const uint32_t *types, const uint16_t *formats, size_t count, char *body, size_t len)
{
    struct type_way way = {map, (enum type_side)from};
    enum err err = ERR_BUG;

    begin();
    switch (what) {
    case 'P':
        err = type_map_parse(way, body, len, &fault);
        break;
    case 'B':
        err = type_map_bind(way, types, count, body, len, &fault);
        break;
    case 't':
        err = type_map_parameters(way, body, len, &fault);
        break;
    case 'T':
        err = type_map_row_description(way, body, len, &fault);
        break;
    case 'D':
        err = type_map_data_row(way, types, formats, count, body, len, &fault);
        break;
    }
    return err == ERR_OK ? 0 : -1;
}

/* --- SCRAM: a client that knows the password comes to us with it; with what its proof gave we go to a server --- */

static struct scram_client *toward;

static enum err key_of(const struct scram_verifier *v, const char *password, uint8_t key[SCRAM_KEY])
{
    static const uint8_t secret[SCRAM_SECRET];
    AUTO(scram_client) *c = scram_client_new_password(password, NULL);
    AUTO(scram_server) *s = scram_server_new(v, "app", secret, NULL);
    AUTO_BUF first = {0};
    AUTO_BUF challenge = {0};
    AUTO_BUF proof = {0};
    AUTO_BUF last = {0};

    scram_client_first(c, &first);
    TRY(scram_server_first(s, first.data, first.len, &challenge, &fault));
    TRY(scram_client_next(c, challenge.data, challenge.len, &proof, &fault));
    TRY(scram_server_final(s, proof.data, proof.len, &last, key, &fault));
    return scram_client_final(c, last.data, last.len, &fault);
}

long shim_scram_first(const char *verifier, const char *password, const char **ret)
{
    struct scram_verifier v;
    uint8_t key[SCRAM_KEY];

    begin();
    if (!scram_verifier_parse(verifier, &v) || key_of(&v, password, key) != ERR_OK)
        return -1;
    scram_client_free(toward);
    toward = scram_client_new_key(key, &v, NULL);
    scram_client_first(toward, &out);
    *ret = out.data;
    return (long)out.len;
}

long shim_scram_next(const char *server_first, size_t len, const char **ret)
{
    begin();
    if (scram_client_next(toward, server_first, len, &out, &fault) != ERR_OK)
        return -1;
    *ret = out.data;
    return (long)out.len;
}

long shim_scram_final(const char *server_final, size_t len)
{
    begin();
    return scram_client_final(toward, server_final, len, &fault) == ERR_OK ? 0 : -1;
}
