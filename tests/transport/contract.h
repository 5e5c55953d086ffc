/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRACT_H
#define CONTRACT_H

/*
 * The contract suite: what transport.h promises, tried on one transport. It
 * looks at caps and limits and never at a name, so that it runs unchanged on
 * the next one. TRANSPORT=name chooses ("socket" if not set); "socket:unix"
 * is the socket transport over socketpair() instead of TCP.
 *
 * A lane is a channel's two ends and a model of them: which chunks were
 * posted, bound, sent, arrived, consumed, and where their bytes lie. Every
 * event is checked against it, and every byte. Its sending and its receiving
 * half touch nothing in common but `told` and `granted` (the part that the
 * control connection plays), so that two threads may drive them.
 */

#include "check.h"
#include "transport/transport.h"

#define CHUNK_BYTES (64u << 10)

struct subject {
	const struct transport_ops *ops;
	uint32_t caps;
	bool unix_sockets;
	struct transport *transport;
	struct transport_limits limits;
	struct gpu_set *gpus; /* TRANSPORT_GPU names the driver */
	struct gpu *pins; /* asks for pinned slots, which CPUs reach; NULL:
			     none does */
};

/* Which transport, and its caps; opens nothing. */
void subject_find(struct subject *subject);
/* Skips the case where the transport cannot be used here. */
void subject_open(struct subject *subject, uint32_t chunk_bytes);
void subject_close(struct subject *subject);
bool subject_can(const struct subject *subject, uint32_t caps);
/* Whose memory its fragments are; NULL: the host's. */
struct gpu *subject_gpu(const struct subject *subject, struct channel *channel);
/* from itself, or a copy in scratch of what a GPU holds. */
const uint8_t *subject_read(const struct subject *subject,
			    struct channel *channel, const uint8_t *from,
			    size_t len_bytes, uint8_t *scratch);
/* Two connected, non-blocking sockets. */
void subject_sockets(const struct subject *subject, int fds[2]);

/* Memory of its own mapping, cut into spans with holes between them; the
 * array of spans lies in it too. */
struct area {
	uint8_t *map;
	size_t map_bytes;
	struct span *spans;
	uint32_t n_spans;
};

void area_create(struct area *area, uint32_t len_bytes, uint32_t n_spans,
		 uint64_t *rand);
void area_fill(const struct area *area, uint64_t chunk);
/* Every byte, and that nothing was written into the holes. */
void area_check(const struct area *area, uint64_t chunk);
void area_check_untouched(const struct area *area);
/* From now on whoever touches it dies by SIGSEGV. */
void area_vanish(struct area *area);
void area_destroy(struct area *area);
void pattern_init(void);
/* What a chunk should hold from off on: at least 1 MiB. */
const uint8_t *pattern(uint64_t chunk, size_t off);
void check_bytes(const uint8_t *bytes, uint64_t chunk, size_t off,
		 size_t len_bytes);

struct tx_chunk {
	struct area src; /* empty for a slot */
	struct span slot;
};

struct rx_chunk {
	struct area dst; /* empty if in memory of the transport's own */
	bool abandoned;
	const uint8_t *base;
	const struct transport_fragment *fragments;
	uint32_t n_fragments;
};

struct end {
	struct channel *channel;
	struct channel *other; /* opposite direction of an adopted fd */
	uint64_t rand;
	int failed; /* status of FAILED, 0 before */
	char cause[128];
};

struct lane {
	struct subject *subject;
	uint32_t n_chunks;
	uint32_t *lens; /* of each chunk; set before use */
	uint32_t spans_max; /* areas get 1 to so many */
	bool own_memory; /* bind to no spans */
	bool hold_binds, hold_consumes; /* the case does it itself */
	bool no_credits; /* send ahead of the receives */
	_Atomic uint64_t told; /* chunks sent: descriptors on their way */
	_Atomic uint64_t granted; /* receives posted: credits */

	struct end tx; /* the sending half */
	struct tx_chunk *tx_chunks;
	uint64_t posted, sent;

	struct end rx; /* the receiving half */
	struct rx_chunk *rx_chunks;
	/* sure: CONSUMED, or consumed if it was not lent */
	uint64_t announced, bound, arrived, consumed, sure;
	bool lent;
};

/* n_chunks of 1 to max_bytes. */
void lane_open(struct lane *lane, struct subject *subject, uint32_t n_chunks,
	       uint32_t max_bytes);
/* Closes what is open. */
void lane_close(struct lane *lane);
void lane_close_tx(struct lane *lane);
void lane_close_rx(struct lane *lane);

#define RX_COOKIE(k) (1000000u + (k))
#define TX_COOKIE(k) (2000000u + (k))

/* The sending half. TCPX_EAGAIN also without a credit or a slot. */
int lane_send(struct lane *lane);
int lane_poll_tx(struct lane *lane);
void lane_abandon_tx(struct lane *lane, uint64_t k);

/* The receiving half. lane_bind() is TCPX_EAGAIN if nothing is announced. */
int lane_recv(struct lane *lane);
int lane_bind(struct lane *lane);
int lane_poll_rx(struct lane *lane);
void lane_consume(struct lane *lane);
/* Polls until what has been consumed is sure. */
void lane_await_sure(struct lane *lane);
void lane_abandon_rx(struct lane *lane, uint64_t k);
/* Fragments of chunk k once more. */
void lane_check_fragments(const struct lane *lane, uint64_t k);

/* One visit to each half: posts what fits, polls, binds, consumes. Whether
 * there were events, which means that there may be more. */
bool lane_run_tx(struct lane *lane);
bool lane_run_rx(struct lane *lane);
/* Until all chunks are consumed. */
void lane_finish(struct lane *lane);
bool lane_done_tx(const struct lane *lane);
bool lane_done_rx(const struct lane *lane);
/* Until each open end has failed. */
void lane_await_failure(struct lane *lane);

/* The cases, file by file. */
void limits_are_sane(void);
void table_is_whole(void);
void one_byte(void);
void order_is_kept(void);
void sizes(void);
void many_spans(void);
void window_is_a_bound(void);
void sends_are_bounded(void);
void send_refuses(void);
void sender_outruns(void);
void nothing_without_poll(void);
void bind_comes_first(void);
void bind_refuses(void);
void own_memory(void);
void consume_in_order(void);
void fragments_stay(void);
void lent_is_confirmed(void);
void slots_are_bounded(void);
void pool_runs_dry(void);
void wait_fd_tells(void);
void wait_fd_wakes(void);
void counters_count(void);

void abandon_send_unsent(void);
void abandon_send_anywhere(void);
void abandon_recv_bound(void);
void abandon_recv_anywhere(void);
void abandon_nothing(void);

void close_sender_anywhere(void);
void close_receiver_anywhere(void);
void failure_is_told_once(void);
void lengths_differ(void);
void both_directions_die(void);
void connect_to_nobody(void);
void connect_twice(void);
void listener_closes(void);
void half_made_closes(void);
void junk_header(void);
void wrong_sequence(void);
void too_long(void);
void beyond_receives(void);
void cut_off(void);
void byte_by_byte(void);

void random_walk(void);
void two_threads_a_lane(void);
void two_lanes_two_threads(void);

#endif
