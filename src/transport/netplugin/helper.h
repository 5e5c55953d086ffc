/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETPLUGIN_HELPER_H
#define NETPLUGIN_HELPER_H

/*
 * The helper process: the transport as it is in process (netplugin.c), driven
 * by one thread for a session that is elsewhere. What arrives is in the
 * plugin's pages. Those are lent, if the session can open them: it is told
 * where in them a chunk is, and says when it has it. Else the chunk is copied
 * into a slot that the session can open, and its pages go back at once.
 *
 *      helper.c       start, messages, sleeping, end
 *      helper_run.c   channels: commands in, events out
 *      helper_lend.c  pages that are lent
 *      helper_copy.c  ... and where they cannot be
 *      helper_watch.c ends it when the session has ended; is the control
 *                     thread well?
 */

#include <pthread.h>
#include <sys/types.h>

#include "base/log.h"
#include "transport/netplugin/netplugin.h"
#include "transport/netplugin/shared.h"

struct gpu_job;

/* A received chunk, in pages of the plugin. */
struct helper_chunk {
	struct channel_event event;
	uint32_t len_bytes;
	/* on its way into a slot */
	struct gpu_job *job; /* running; NULL before and after */
	uint32_t slot;
	bool started, copied;
	bool spoilt; /* never copied: it and those behind it are lost */
};

/* Of the plugin's pool, for all channels. */
enum helper_lending {
	LEND_UNTRIED = 0,
	LEND_OFFERED, /* the session has not answered */
	LEND_YES,
	LEND_NO,
};

/* Is what the session has of a daemon the plugin's pool? Seen by a page that
 * is ours: of the first chunk that arrives. */
#define PROOF_BYTES 16u
enum helper_proof {
	PROOF_GOOD = 0, /* or needless: it was exported */
	PROOF_DUE,
	PROOF_ASKED,
	PROOF_BAD,
};

struct helper_channel {
	struct list link;
	struct helper *helper;
	uint32_t id, index;
	struct channel *in;
	struct shared_channel *shared;
	bool ready; /* told so; nothing moves before */
	bool lends; /* pages, from then on */
	bool told; /* the session something, in this pass */
	bool owes; /* it a ring for chunks that are sure */
	bool closing; /* the session has let go */
	bool failed; /* in has said so; told when all is told */
	int status;

	uint8_t *mem; /* receiver's slots, if it copies */
	uint64_t mem_bytes;
	int mem_fd;
	struct shared_slots free; /* lent, and not filled yet */
	/* consumed <= given <= arrived; given: to the session. If it copies,
	 * consumed is given. */
	uint64_t arrived, given, consumed;
	struct helper_chunk chunks[COMM_RING];
};

struct helper_listener {
	struct list link;
	uint32_t id, index;
	struct listener *in;
	bool listened; /* the session knows whether it does */
	bool deaf; /* it does not */
	bool made; /* accept() has given its channel away */
};

struct helper_connect {
	struct list link;
	uint32_t id, index;
	uint8_t addr[256];
	uint32_t addr_bytes;
	struct channel *in;
};

struct helper {
	struct shared_area *area;
	struct transport *t;
	struct gpu_set *gpus;
	uint32_t rail;
	struct rail *the_rail;
	struct log log;
	pid_t session; /* its process */
	pthread_mutex_t watch_lock;
	const struct transport *watched; /* t, while it is open */
	pthread_mutex_t words_lock; /* the plugin's threads log, too: */
	char last_warning[SHARED_TEXT];
	struct list channels, listeners, connects;
	int wake_fds[SHARED_CHANNELS]; /* by index; -1: it is free */
	bool flush; /* jobs have been submitted */

	enum helper_lending lending;
	const uint8_t *pool; /* what is lent, or offered */
	uint64_t pool_bytes;
	enum helper_proof proof;
	uint32_t proof_id; /* of the last asked for */
	const struct helper_channel *proof_of; /* while it is ASKED, a page of
						  its is written over: */
	uint8_t *proof_at;
	uint32_t proof_bytes;
	uint8_t proof_kept[PROOF_BYTES];
};

/* helper_run.c */

/* Everything of a channel that can be done now; whether anything was. */
bool helper_channel_run(struct helper_channel *c);
/* There is something for it to do that the session has said. */
bool helper_channel_has_work(const struct helper_channel *c);
/* Makes it from an open channel; the session is told when it is ready. */
void helper_channel_create(struct helper *h, uint32_t id, uint32_t index,
			   struct channel *in);
/* Whether it is over and freed. */
bool helper_channel_end(struct helper_channel *c);
/* One more event for the session; false: no room now. */
bool helper_channel_tell(struct helper_channel *c,
			 const struct shared_item *item);
/* Told when all that came before is. The first one stays. */
void helper_channel_fail(struct helper_channel *c, int status,
			 const char *cause);

/* helper_lend.c. How a receiver's chunks reach the session; LEND_OFFERED: it
 * has not said yet. */
enum helper_lending helper_lend(struct helper *h, const struct comm *comm);
void helper_lend_answered(struct helper *h, const struct shared_message *m);
void helper_lend_proved(struct helper *h, const struct shared_message *m);
/* Before its pages go. */
void helper_lend_ended(struct helper_channel *c);
/* Tells of what has arrived, gives back what the session has done with; whether
 * there was any. */
bool helper_lend_run(struct helper_channel *c);
bool helper_lend_has_work(const struct helper_channel *c);

/* helper_copy.c. Into slots: the same. */
bool helper_copy_run(struct helper_channel *c);
/* Whether no job touches slots or pages any more. */
bool helper_copy_ended(struct helper_channel *c);

/* helper_watch.c. Before anything that may hang. */
int helper_watch_start(struct helper *h);
/* What it watches; NULL for nothing: what it watched may be freed then. */
void helper_watch(struct helper *h, const struct transport *t);

/* helper.c. The index may be used again. */
void helper_tell_closed(struct helper *h, uint32_t index);
void helper_tell(const struct shared_message *message, const int *fds,
		 uint32_t n_fds);

#endif
