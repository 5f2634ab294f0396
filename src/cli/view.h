/* cli/view.h — how progress is drawn: in place on a terminal, as lines elsewhere, as events with --output json. */
#ifndef LEAT_CLI_VIEW_H
#define LEAT_CLI_VIEW_H

#include "cli/cli.h"
#include "pilot/pilot.h"

struct view;
struct view *view_new(const struct cli *c);
void view_free(struct view *v);
struct pilot_view view_for_pilot(struct view *v);
/* One drawing of all stores, into `out`; width and height in characters. Rates come from the drawing before. */
void view_draw(struct view *v, const struct config *c, const char *state_dir, struct buf *out, int width, int height);

#endif
