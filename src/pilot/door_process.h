/* pilot/door_process.h — the doors of the stores: started where they are missing, never ended: clients go through them. */
#ifndef LEAT_PILOT_DOOR_PROCESS_H
#define LEAT_PILOT_DOOR_PROCESS_H

#include "pilot/pilot.h"

struct door_keeper;
struct door_keeper *door_keeper_new(const struct pilot_job *job);
void door_keeper_free(struct door_keeper *k);
/* A look, about every second: a door that does not live is started, in a session of its own, so that it outlives us. */
void door_keeper_turn(struct door_keeper *k);

/* Asks every door of the migration to end now (SIGTERM), and waits until they have. Gives how many there were. */
int doors_end(const struct config *c, const char *state_dir);

#endif
