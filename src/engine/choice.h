/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ENGINE_CHOICE_H
#define ENGINE_CHOICE_H

/*
 * Which lanes may take a stream's next chunk. A peer's lanes may be of several
 * transports at once, and some receive into one GPU's memory only:
 *
 *   a lane      cannot carry it      its transport does not carry device
 *                                    memory, or another GPU's slots are all
 *                                    it sends from
 *               fits                 what arrives lands in the memory it is
 *                                    for, or in the host's, from where any
 *                                    memory is as near
 *               does not fit         it lands in another GPU's memory
 *
 * Among those that fit the session's order of transports decides, then among
 * those that do not. Only the best that are open now may take a chunk; the
 * others leave it alone until no better one is left. What lands elsewhere is
 * placed all the same, so a wrong word of the peer's costs speed, no bytes.
 *
 * As long as all lanes are alike (peer->choosy is false) nothing is asked.
 * The peer's lock is held in all of these.
 */

#include <stdbool.h>
#include <stdint.h>

struct gpu;
struct lane;
struct peer;
struct stream;

/* What was found last for a stream, by whose memory it is at then. */
struct choice {
	uint32_t changes;	/* peer->lane_changes of that moment */
	uint32_t rank;		/* of the lanes that may take it */
	uint32_t n_lanes;	/* how many these are */
	const struct gpu *from;
};

/* One is open, ready, or fails: who was idle may have something to do. */
void choice_lanes_changed(struct peer *peer);
/* May it take the next chunk of this stream? */
bool choice_allows(const struct lane *lane, struct stream *stream);
/* The same for bytes from and to given memory, for reports: how well it
 * carries them, 0 the best; UINT32_MAX: it cannot. */
uint32_t choice_rank(const struct lane *lane, const struct gpu *from,
		     uint32_t to_device);
/* How many lanes take chunks of what this lane has just been allowed. */
uint32_t choice_sharers(const struct lane *lane, const struct stream *stream);
/* Does it serve the same chunks as another? */
bool choice_same(const struct lane *lane, const struct lane *other);
/* Open, and the other end is known to be ready. */
bool choice_counts(const struct lane *lane);

#endif
