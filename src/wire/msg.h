/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WIRE_MSG_H
#define WIRE_MSG_H

/*
 * Messages of the control connection, after the handshake (wire/hello.h).
 * Each is a frame:
 *
 *  0           4       6       8                16               24
 *  +-----------+-------+-------+----------------+----------------+----
 *  | body len  | type  | flags |    sequence    |  acknowledged  | body
 *  +-----------+-------+-------+----------------+----------------+----
 *
 * Numbered messages carry sequence 1, 2, 3, ... without gaps; HEARTBEAT and
 * ACK carry 0. "acknowledged" is the highest sequence the sender has taken
 * in. What is not acknowledged is kept by its sender, so that the connection
 * can be taken up again and nothing is lost or done twice.
 *
 * Initiator: the side that posted the transfer. Target: the other one.
 * Transfer ids are the initiator's, given in the order of its requests.
 *
 *   WRITE   initiator  LIST* WRITE --> target      chunks -->   <-- DONE
 *   READ    initiator  LIST* READ  --> target  <-- chunks       READ_END -->
 *   small   initiator  PUT --> <-- DONE            GET --> <-- GET_DATA
 *   SEND    sender     SEND --> receiver <-- SEND_GO  chunks --> <-- DONE
 *   early   sender     SEND with its bytes -->                   <-- DONE
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/desc.h"

#define MSG_HEADER_BYTES 24
#define MSG_BODY_MAX (64u * 1024) /* bytes; larger frames are a violation */
#define MSG_PART_BYTES (32u * 1024) /* of list or notification a message */
#define MSG_TEXT_MAX 160
#define MSG_ADDR_MAX 256

enum msg_type {
	MSG_HEARTBEAT = 1,
	MSG_ACK,
	MSG_GOODBYE,
	MSG_LIST,		/* one part of a segment list */
	MSG_LIST_DROP,
	MSG_WRITE,
	MSG_READ,
	MSG_READ_END,
	MSG_PUT,
	MSG_GET,
	MSG_GET_DATA,
	MSG_SEND,
	MSG_SEND_GO,
	MSG_DONE,
	MSG_CANCEL,
	MSG_CHUNK,		/* an out-of-band descriptor */
	MSG_CREDIT,
	MSG_CHANNEL_DOWN,
	MSG_CHANNEL_FENCED,
	MSG_NOTIFY,
	MSG_NOTIFY_PART,
	MSG_NOTIFY_TAKEN,
	MSG_LANE_OFFER,
	MSG_LANE_READY,
	MSG_LANE_DOWN,
	MSG_TYPE_END,
};

struct msg_header {
	uint32_t body_bytes;
	uint16_t type;
	uint16_t flags;		/* 0 for now; unknown ones are a violation */
	uint64_t seq;
	uint64_t ack;
};

void msg_header_encode(const struct msg_header *h,
		       uint8_t buf[MSG_HEADER_BYTES]);
/* TCPX_EPROTO: body over MSG_BODY_MAX, unknown type or flags, a sequence
 * where none belongs or none where one does. */
int msg_header_decode(const uint8_t buf[MSG_HEADER_BYTES],
		      struct msg_header *h);

enum msg_notify_flag {
	NOTIFY_NONE = 0,
	NOTIFY_INLINE = 1,	/* the notification is the tail of the body */
	NOTIFY_PARTS = 2,	/* it came before, in NOTIFY_PARTs */
};

/* A (pointer, length) into the message being decoded, or to be encoded. */
struct msg_bytes {
	const void *data;
	uint32_t len_bytes;
};

/* The bodies. Fields are encoded in this order; msg_bytes that are last take
 * the rest of the body, others have a u32 length in front. */

struct msg_goodbye { /* MSG_GOODBYE; the connection ends after it */
	int32_t status;
	char text[MSG_TEXT_MAX];
};

struct msg_region { /* one row of a list's table of regions */
	uint64_t mem;		/* mem_id of the receiver of the message */
	uint64_t key;		/* its remote key */
};

#define MSG_REGIONS_MAX 1024 /* distinct regions of one list */

/* What a list costs of the limit list_segments: the list itself and the
 * request that uses it are worth so many segments, of 16 bytes each. */
#define MSG_LIST_COST 64

static inline uint64_t msg_list_cost(uint32_t n_segs, uint32_t n_regions)
{
	return (uint64_t)n_segs + n_regions + MSG_LIST_COST;
}

/* What a PUT or GET over device memory costs while the target's GPU has not
 * done it, bytes. An initiator has no more out than the first, or one; a target
 * refuses what comes beyond the second. */
#define MSG_DEVICE_OUT_MAX (8u << 20)
#define MSG_DEVICE_WAITING_MAX (32u << 20)

static inline uint64_t msg_device_cost(uint32_t n_segs, uint64_t total_bytes)
{
	return 1024 + 32 * (uint64_t)n_segs + total_bytes;
}

struct msg_list { /* MSG_LIST: parts come in order, no gaps */
	uint64_t list;		/* id, of the initiator */
	uint32_t total_segs;	/* of the whole list; same in every part */
	uint32_t first;		/* index of this part's first segment */
	uint32_t count;		/* segments in this part, 1 to
				   WIRE_PART_SEGS_MAX */
	uint64_t total_bytes;	/* of the whole list; same in every part */
	uint32_t n_regions;	/* rows of the table: in the first part only */
	struct msg_bytes regions; /* n_regions x 16 bytes: msg_region */
	struct msg_bytes segs;	/* the rest: segs_encode() */
};
/* Row i of regions; i < n_regions was checked by decode. */
struct msg_region msg_list_region(const struct msg_bytes *regions, uint32_t i);
void msg_region_encode(const struct msg_region *region, uint8_t buf[16]);

struct msg_list_drop { /* MSG_LIST_DROP: forget a list not in use */
	uint64_t list;
};

/*
 * Whose memory bytes go to, over there: 0 the host's, 1 + i that of GPU i in
 * the numbering of the session it belongs to. Lanes are chosen by it; nothing
 * else depends on it.
 */
#define WIRE_DEVICE_HOST 0u
#define WIRE_DEVICE_SEVERAL UINT32_MAX

struct msg_write { /* MSG_WRITE, MSG_READ (without notify) */
	uint64_t xfer;
	uint64_t list;
	uint64_t total_bytes;
	uint32_t device; /* READ: the initiator's memory; WRITE: 0 */
	uint8_t notify;		/* enum msg_notify_flag */
	struct msg_bytes note;	/* the rest, for NOTIFY_INLINE */
};

struct msg_read_end { /* MSG_READ_END: the target may forget it */
	uint64_t xfer;
	int32_t status;
	uint8_t notify;		/* only with status 0 */
	struct msg_bytes note;
};

struct msg_put { /* MSG_PUT: request and bytes in one */
	uint64_t xfer;
	uint8_t notify;
	uint32_t n_segs;
	uint32_t n_regions;
	struct msg_bytes regions;
	struct msg_bytes segs;
	struct msg_bytes data;	/* the sum of the segments' lengths */
	struct msg_bytes note;	/* the rest */
};

struct msg_get { /* MSG_GET */
	uint64_t xfer;
	uint32_t n_segs;
	uint32_t n_regions;
	struct msg_bytes regions;
	struct msg_bytes segs;	/* the rest */
};

struct msg_get_data { /* MSG_GET_DATA */
	uint64_t xfer;
	struct msg_bytes data;	/* the rest */
};

struct msg_send { /* MSG_SEND */
	uint64_t xfer;
	uint64_t tag;
	uint64_t total_bytes;
	uint8_t early;		/* 1: data is all of it, no SEND_GO follows */
	uint8_t notify;
	struct msg_bytes data;	/* empty unless early */
	struct msg_bytes note;	/* the rest */
};

struct msg_send_go { /* MSG_SEND_GO */
	uint64_t xfer;
	uint32_t device; /* the RECV's memory */
};

struct msg_xfer { /* MSG_CANCEL */
	uint64_t xfer;
};

struct msg_done { /* MSG_DONE */
	uint64_t xfer;
	int32_t status;		/* 0, or why not */
	char text[MSG_TEXT_MAX];
};

struct msg_chunk { /* MSG_CHUNK */
	uint32_t channel;
	uint32_t generation;
	struct chunk_desc desc;
};

struct msg_credit { /* MSG_CREDIT: data receiver to data sender */
	uint32_t channel;
	uint32_t generation;
	uint64_t granted;	/* receives posted so far, cumulative */
	uint64_t placed;	/* chunks placed so far, cumulative */
};

/*
 * A channel is dead, either end may say so. The data receiver says at the
 * same time, or in answer, MSG_CHANNEL_FENCED: nothing of this generation
 * will be placed after the `placed` chunks it names; the sender repeats the
 * others elsewhere.
 */
struct msg_channel { /* MSG_CHANNEL_DOWN, MSG_CHANNEL_FENCED */
	uint32_t channel;
	uint32_t generation;
	uint8_t to_receiver;	/* 1: the sender of this message sends on that
				   channel, 0: it receives */
	uint64_t placed;
	int32_t status;
	char text[MSG_TEXT_MAX];
};

struct msg_notify { /* MSG_NOTIFY: one of its own */
	uint8_t notify;		/* INLINE or PARTS */
	struct msg_bytes note;
};

struct msg_notify_part { /* MSG_NOTIFY_PART: in order, one at a time;
				   belongs to the next NOTIFY_PARTS message */
	uint32_t total_bytes;
	uint32_t off;
	struct msg_bytes bytes;
};

struct msg_notify_taken { /* MSG_NOTIFY_TAKEN: opens the window */
	uint64_t taken_bytes;	/* cumulative, with MSG_NOTE_COST each */
};
#define MSG_NOTE_COST 64 /* what a notification costs beside its bytes */

/*
 * A lane is a channel that is not adopted from a connection of ours: the data
 * receiver listens and offers the transport's address, the data sender
 * connects. The receiver says READY before its first CREDIT; either may say
 * DOWN and why.
 */
struct msg_lane { /* MSG_LANE_OFFER, _READY, _DOWN */
	uint32_t channel;
	uint32_t generation;
	uint8_t to_receiver;	/* as in msg_channel */
	uint32_t rail; /* the receiver's, of that transport */
	uint32_t device; /* READY: whose memory it receives into */
	char transport[16];
	int32_t status;
	char text[MSG_TEXT_MAX];
	struct msg_bytes address; /* the rest; of an OFFER */
};

/*
 * One encoder and one decoder a body. Encoders append to w and fail it when
 * it is full. Decoders take exactly one body; 0 or TCPX_EPROTO; msg_bytes
 * point into the reader's buffer.
 */
struct wire_reader;
struct wire_writer;
#define MSG_CODEC(name, type)                                                  \
	void msg_##name##_encode(struct wire_writer *w, const struct type *m); \
	int msg_##name##_decode(struct wire_reader *r, struct type *m)
MSG_CODEC(goodbye, msg_goodbye);
MSG_CODEC(list, msg_list);
MSG_CODEC(list_drop, msg_list_drop);
MSG_CODEC(write, msg_write);
MSG_CODEC(read_end, msg_read_end);
MSG_CODEC(put, msg_put);
MSG_CODEC(get, msg_get);
MSG_CODEC(get_data, msg_get_data);
MSG_CODEC(send, msg_send);
MSG_CODEC(send_go, msg_send_go);
MSG_CODEC(xfer, msg_xfer);
MSG_CODEC(done, msg_done);
MSG_CODEC(chunk, msg_chunk);
MSG_CODEC(credit, msg_credit);
MSG_CODEC(channel, msg_channel);
MSG_CODEC(notify, msg_notify);
MSG_CODEC(notify_part, msg_notify_part);
MSG_CODEC(notify_taken, msg_notify_taken);
MSG_CODEC(lane, msg_lane);
#undef MSG_CODEC

#endif
