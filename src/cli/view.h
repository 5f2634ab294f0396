/* cli/view.h — how progress is shown while it is made: in place on a terminal (stderr), as lines where stderr is none, and with
 * --output json as one event object a line on stdout. */
#ifndef LEAT_CLI_VIEW_H
#define LEAT_CLI_VIEW_H

#include "cli/cli.h"
#include "pilot/pilot.h"

struct view;
struct view *view_new(const struct cli *c);
void view_free(struct view *v);
struct pilot_view view_for_pilot(struct view *v);
/* The last state, before other words follow. */
void view_end(struct view *v, const struct config *c, const char *state_dir);
/* One picture of all stores, for whoever prints it. Rates come from the pictures before. */
void view_draw(struct view *v, const struct config *c, const char *state_dir, struct buf *out, int width, int height, bool color);

#endif
