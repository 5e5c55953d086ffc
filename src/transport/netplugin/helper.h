/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETPLUGIN_HELPER_H
#define NETPLUGIN_HELPER_H

/*
 * The helper process: the transport as it is in process (netplugin.c), driven
 * by one thread for a session that is elsewhere. A received chunk is copied
 * from the plugin's pages into a slot that the session can open, and its
 * pages go back at once.
 *
 *      helper.c       start, messages, sleeping, end
 *      helper_run.c   channels: commands in, events out
 */

#include "base/log.h"
#include "transport/netplugin/netplugin.h"
#include "transport/netplugin/shared.h"

struct gpu_job;

/* A received chunk on its way into its slot. */
struct helper_chunk {
	struct channel_event event;
	struct gpu_job *job; /* running; NULL before and after */
	uint32_t len_bytes, slot;
	bool started, copied;
};

struct helper_channel {
	struct list link;
	struct helper *helper;
	uint32_t id, index;
	struct channel *in;
	struct shared_channel *shared;
	bool told; /* the session something, in this pass */
	bool closing; /* the session has let go */
	bool failed; /* in has said so; told when all is told */
	int status;

	uint8_t *mem; /* receiver's slots */
	uint64_t mem_bytes;
	int mem_fd;
	struct shared_slots free; /* lent, and not filled yet */
	uint64_t arrived, given; /* given <= arrived */
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
	char last_warning[SHARED_TEXT];
	struct list channels, listeners, connects;
	int wake_fds[SHARED_CHANNELS]; /* by index; -1: it is free */
	bool flush; /* jobs have been submitted */
};

/* Everything of a channel that can be done now; whether anything was. */
bool helper_channel_run(struct helper_channel *c);
/* Makes it from an open channel; tells the session. */
void helper_channel_create(struct helper *h, uint32_t id, uint32_t index,
			   struct channel *in);
/* Whether it is over and freed. */
bool helper_channel_end(struct helper_channel *c);
/* The index may be used again. */
void helper_tell_closed(struct helper *h, uint32_t index);
void helper_tell(const struct shared_message *message, const int *fds,
		 uint32_t n_fds);

#endif
