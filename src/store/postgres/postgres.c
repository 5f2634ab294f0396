/* store/postgres/postgres.c — PostgreSQL as a store: the vtable. */
#include "store/postgres/postgres.h"

#include "store/postgres/again.h"
#include "store/postgres/copier.h"
#include "store/postgres/cutter.h"
#include "store/postgres/ddl.h"
#include "store/postgres/holder.h"
#include "store/postgres/lane.h"
#include "store/postgres/prepare.h"
#include "store/postgres/stream.h"
#include "store/postgres/watcher.h"

static void quit(struct store *s)
{
    holder_quit(s->state_dir, s->name);
}

const struct store_ops store_postgres = {
    .engine = "postgresql",
    .identify = pg_store_identify,
    .prepare = pg_store_prepare,
    .arm = pg_store_arm,
    .load = pg_store_load,
    .adopt = pg_store_adopt,
    .facts = pg_store_facts,
    .confirmed = pg_store_confirmed,
    .target_answers = pg_store_target_answers,
    .copy_records = pg_store_copy_records,
    .copy_again = pg_store_copy_again,
    .logged_since = pg_store_logged_since,
    .forget = pg_store_forget,
    .spool_record = pg_store_spool_record,
    .bind = pg_store_bind,
    .own_mark = pg_store_own_mark,
    .ddl_read = pg_ddl_read,
    .ddl_misfit = pg_ddl_misfit,
    .quit = quit,
    .decoder_make = pg_decoder_make,
    .decoder_drop = pg_decoder_drop,
    .decode = pg_decode,
    .copier_open = pg_copier_open,
    .copier_close = pg_copier_close,
    .copier_whole = pg_copier_whole,
    .copier_open_table = pg_copier_open_table,
    .copier_range = pg_copier_range,
    .copier_close_table = pg_copier_close_table,
    .copier_snapshot_alive = pg_copier_snapshot_alive,
    .copier_indexed = pg_copier_indexed,
    .copier_statement = pg_copier_statement,
    .copier_heartbeat = pg_copier_heartbeat,
    .stream_open = pg_stream_open,
    .stream_close = pg_stream_close,
    .stream_read = pg_stream_read,
    .stream_feedback = pg_stream_feedback,
    .lane_open = pg_lane_open,
    .lane_close = pg_lane_close,
    .lane_begin = pg_lane_begin,
    .lane_steps = pg_lane_steps,
    .lane_commit = pg_lane_commit,
    .lane_rollback = pg_lane_rollback,
    .lane_replay = pg_lane_replay,
    .lane_stats = pg_lane_stats,
    .lane_join = pg_lane_join,
    .lane_pass = pg_lane_pass,
    .lane_ddl = pg_lane_ddl,
    .lane_catalog = pg_lane_catalog,
    .lane_ahead = pg_lane_ahead,
    .lane_position = pg_lane_position,
    .cutter_open = pg_cutter_open,
    .cutter_close = pg_cutter_close,
    .cutter_scratch = pg_cutter_scratch,
    .cutter_source = pg_cutter_source,
    .cutter_suspects = pg_cutter_suspects,
    .cutter_mark = pg_cutter_mark,
    .cutter_target = pg_cutter_target,
    .cutter_in_the_way = pg_cutter_in_the_way,
    .cutter_objects = pg_cutter_objects,
    .cutter_sequences = pg_cutter_sequences,
    .cutter_end = pg_cutter_end,
    .rows_open = pg_rows_open,
    .rows_close = pg_rows_close,
    .rows_begin = pg_rows_begin,
    .rows_end = pg_rows_end,
    .rows_read = pg_rows_read,
    .rows_find = pg_rows_find,
    .watcher_open = pg_watcher_open,
    .watcher_close = pg_watcher_close,
    .watcher_poll = pg_watcher_poll,
    .watcher_heartbeat = pg_watcher_heartbeat,
    .watcher_trim = pg_watcher_trim,
    .watcher_sequences = pg_watcher_sequences,
    .watcher_blocking = pg_watcher_blocking,
    .watcher_schema = pg_watcher_schema,
    .watcher_indexes = pg_watcher_indexes,
    .watcher_emptied = pg_watcher_emptied,
    .watcher_logged = pg_watcher_logged,
    .watcher_identity = pg_watcher_identity,
    .watcher_ledger = pg_watcher_ledger,
    .watcher_drop_slot = pg_watcher_drop_slot,
};
