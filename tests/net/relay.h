/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_NET_RELAY_H
#define TESTS_NET_RELAY_H

/*
 * A wire with bad habits: two TUN devices, each in a network namespace, and
 * one thread that carries IP packets between them, late, out of order,
 * slowly, or not at all. What netem does, in user space, because many
 * kernels come without netem.
 *
 *   netns A                 relay                         netns B
 *   tun <---> read --> shape (rate, delay, loss) --> write <---> tun
 *                      wire_queue: packets by time to leave
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- one end: relay_tun.c ---- */

/* Makes the device in the namespace ("name", "/path" or "-" for the own one)
 * and brings it up with the addresses. spec: NETNS,DEV,ADDR/LEN[,ADDR/LEN].
 * Returns the file descriptor, or -1 after a line on stderr. */
int tun_create(const char *spec, unsigned int mtu);

/* ---- packets that wait: relay_queue.c ---- */

struct packet {
	uint64_t leave_ns; /* when it is written to the other side */
	uint64_t order; /* first in, first out among equals */
	uint32_t len_bytes;
	uint8_t data[];
};

/* A binary heap, the earliest packet on top. */
struct wire_queue {
	struct packet **heap;
	size_t n_packets, cap_packets;
	uint64_t n_bytes, next_order;
};

/* Copies the bytes. False: no room (max_bytes) or no memory. */
bool wire_queue_push(struct wire_queue *queue, const void *data,
		     uint32_t len_bytes, uint64_t leave_ns, uint64_t max_bytes);
/* The earliest packet if it is due, or NULL. The caller frees it. */
struct packet *wire_queue_pop(struct wire_queue *queue, uint64_t now_ns);
/* When the earliest leaves; UINT64_MAX when empty. */
uint64_t wire_queue_next_ns(const struct wire_queue *queue);
void wire_queue_fini(struct wire_queue *queue);

/* ---- what is done to packets: relay_shape.c ---- */

#define SHAPE_FLOWS 4096u

struct shape_settings {
	double delay_ms; /* one way, each direction */
	double jitter_ms; /* added at random: 0 to this, so reorders */
	double jitter_percent; /* of packets that get it */
	double loss_percent;
	double flow_rate_bps; /* bits a second, each flow; 0: no limit */
	double link_rate_bps; /* all flows of a direction together */
	double queue_ms; /* a rate's queue: beyond it packets drop */
};

/* One direction. Flows whose hashes collide share a limit. */
struct shape {
	uint64_t flow_free_ns[SHAPE_FLOWS];
	uint64_t link_free_ns;
	uint64_t rng;
};

/* When a packet that arrived now shall leave. False: drop it. */
bool shape_packet(struct shape *shape, const struct shape_settings *settings,
		  const uint8_t *data, uint32_t len_bytes, uint64_t now_ns,
		  uint64_t *leave_ns);
/* Hash of addresses, protocol and ports of an IPv4 or IPv6 packet. */
uint64_t shape_flow_hash(const uint8_t *data, uint32_t len_bytes);
/* "250", "100K", "1.5M", "10G": bits a second. False: not a rate. */
bool shape_parse_rate(const char *text, double *rate_bps);

#endif
