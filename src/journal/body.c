/* journal/body.c — see body.h. */
#include "journal/body.h"

#include <jansson.h>

/* Only for text known to be valid JSON: outside of strings, blanks mean nothing. */
static void add_compact(struct buf *out, const char *text)
{
    bool in_string = false;

    buf_reserve(out, strlen(text));
    for (const char *p = text; *p != '\0'; p++) {
        if (*p == '"')
            in_string = !in_string;
        if (!in_string && strchr(" \t\r\n", *p) != NULL)
            continue;
        buf_addc(out, *p);
        if (in_string && *p == '\\')
            buf_addc(out, *++p);
    }
}

enum err body_add(struct buf *out, const char *text, struct fault *f)
{
    json_error_t error;
    json_t *json;
    bool object;

    if (text == NULL)
        text = "{}";
    if (strlen(text) > BODY_BYTES_MAX)
        return fault_set(f, ERR_BUG, "an event of %zu bytes is too large for the journal", strlen(text));
    json = json_loads(text, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    if (json == NULL)
        return fault_set(f, ERR_BUG, "the body of an event is not JSON: %s, at byte %d of %.100s", error.text,
                         error.position, text);
    object = json_is_object(json);
    json_decref(json);
    if (!object)
        return fault_set(f, ERR_BUG, "the body of an event is not a JSON object: %.100s", text);
    add_compact(out, text);
    return ERR_OK;
}

enum err body_add_string(struct buf *out, const char *text, struct fault *f)
{
    json_t *json = text != NULL ? json_string(text) : json_null();
    char *quoted = json != NULL ? json_dumps(json, JSON_ENCODE_ANY) : NULL;

    json_decref(json);
    if (quoted == NULL)
        return fault_set(f, ERR_BUG, "text for the journal is not UTF-8: %.100s", text);
    buf_adds(out, quoted);
    free(quoted);
    return ERR_OK;
}
