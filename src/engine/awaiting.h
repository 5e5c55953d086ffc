/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ENGINE_AWAITING_H
#define ENGINE_AWAITING_H

/*
 * Transfers that wait for an event of the program's GPU before their bytes are
 * read. Meanwhile no lane sees the stream and no driver has a job of it, so
 * that nothing of anybody else's waits with it, and whoever ends the transfer
 * finds nothing that could still touch its memory.
 *
 *   event_await (any thread, lock held) -> peer->awaiting
 *   awaiting_run (home's owner) ... -> stream->go()
 *
 * The events are asked for when a transfer begins to wait, and from then on in
 * the passes of home, a few microseconds apart. While others move or somebody
 * polls or waits, that is soon; once all who drive it sleep, they look again
 * after naps that grow with the wait, to 0.8 ms at most (context.c).
 */

#include <stdbool.h>
#include <stdint.h>

struct peer;
struct stream;

/*
 * Calls stream->go() at once if its event, of which there is one, has passed,
 * or else by awaiting_run(), as soon as it has; stream->ended() if it is no
 * event, never at once. Until stream_kill(). The peer's lock held.
 */
void event_await(struct stream *stream);
/* Goes on with those whose events have passed; whether there were any. Home's
 * owner, lock held. */
bool awaiting_run(struct peer *peer);
/* There are some, and it is time to look. Home's owner, without the lock. */
bool awaiting_is_due(const struct peer *peer);

#endif
