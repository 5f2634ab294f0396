/* journal/event.c — the kinds of event, from events.def. */
#include "journal/journal.h"

static const struct {
    const char *name;
    const char *text;
} kinds[EVENT_KIND_COUNT] = {
#define X(ID, name, text) [EVENT_##ID] = {name, text},
#include "journal/events.def"
#undef X
};

const char *event_kind_name(enum event_kind kind)
{
    ENSURE((unsigned)kind < EVENT_KIND_COUNT);
    return kinds[kind].name;
}

const char *event_kind_text(enum event_kind kind)
{
    ENSURE((unsigned)kind < EVENT_KIND_COUNT);
    return kinds[kind].text;
}
