/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ENGINE_LISTS_H
#define ENGINE_LISTS_H

/*
 * Segment lists a peer has sent us: resolved to our own addresses and checked
 * as the parts come in. A bad list (wrong key, out of bounds) stays as such:
 * the requests that use it are refused with its reason. The peer's lock is
 * held in all of these, but lists_take_part() is without it for a while. All
 * are home's owner's.
 */

#include <stdbool.h>
#include <stdint.h>

#include "engine/seglist.h"

struct msg_bytes;
struct msg_list;
struct peer;
struct request;

struct remote_list {
	uint64_t id;
	uint32_t total_segs, n_segs;	/* promised, received */
	uint64_t total_bytes;		/* promised */
	uint64_t cost;			/* msg_list_cost() */
	struct seglist *segs;
	struct request *user;		/* in flight, or NULL */
	int status;			/* not 0: bad */
	char cause[96];
};

/* A part; its segments are decoded and checked without the lock. *list is set
 * unless the message is a violation (TCPX_EPROTO) or
 * memory is short (TCPX_ENOMEM). */
int lists_take_part(struct peer *peer, const struct msg_list *msg,
		    struct remote_list **list);
struct remote_list *lists_find(struct peer *peer, uint64_t id);
void lists_drop(struct peer *peer, struct remote_list *list);
/* Every region of the list grants this right? 0, or TCPX_EACCES with cause. */
int lists_check_access(const struct seglist *segs, uint32_t access, char *cause,
		       uint32_t cap_bytes);
/*
 * A short list that came whole in its request; *segs is the caller's on
 * success. A wrong one gives its status and cause with *segs NULL; TCPX_EPROTO
 * is a violation.
 */
int lists_take_small(struct peer *peer, const struct msg_bytes *regions,
		     uint32_t n_regions, const struct msg_bytes *encoded,
		     uint32_t n_segs, struct seglist **segs, char *cause,
		     uint32_t cap_bytes);
void lists_free(struct peer *peer);

#endif
