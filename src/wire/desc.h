/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WIRE_DESC_H
#define WIRE_DESC_H

/*
 * The descriptor of a chunk: what the k-th payload of a channel is. In line
 * before the payload where the transport can carry it, else in a control
 * message (wire/msg.h, MSG_CHUNK).
 *
 *  0        4        8                16               24
 *  +--------+--------+----------------+----------------+
 *  | magic  | length |    sequence    |    transfer    |
 *  +--------+--------+----------------+----------------+
 *  |    position     | flags  |   0   |    checksum    |
 *  +-----------------+--------+-------+----------------+
 * 24                32       36      40               48
 */

#include <stdbool.h>
#include <stdint.h>

#define CHUNK_DESC_BYTES 48
#define CHUNK_DESC_MAGIC 0x4b435854u /* "TXCK" */

enum chunk_flag {
	CHUNK_REPLY = 1,	/* transfer is an id of the chunk's receiver (a
				   READ), else of its sender */
	CHUNK_CHECKSUM = 2,	/* checksum is XXH3-64 of the payload */
	CHUNK_LENT = 4,		/* the sender waits to be told that the payload
				   was taken; for transports in line only */
};

struct chunk_desc {
	uint64_t seq;		/* of the channel, from 0, no gaps */
	uint64_t xfer;
	uint64_t pos;		/* byte position in the transfer's stream */
	uint32_t len_bytes;	/* of the payload, > 0 */
	uint32_t flags;
	uint64_t checksum;
};

void chunk_desc_encode(const struct chunk_desc *desc,
		       uint8_t buf[CHUNK_DESC_BYTES]);
/* Returns 0, or TCPX_EPROTO: magic, unknown flags, length 0 or pos + length
 * beyond TCPX_XFER_MAX. */
int chunk_desc_decode(const uint8_t buf[CHUNK_DESC_BYTES],
		      struct chunk_desc *desc);

/*
 * As long as a descriptor, in its place in the other direction's stream: all
 * chunks before number `taken` of this one are in the receiver's memory.
 *
 *  0        4        8                16                              48
 *  +--------+--------+----------------+-------------------------------+
 *  | magic  |   0    |     taken      |               0               |
 *  +--------+--------+----------------+-------------------------------+
 */
#define CHUNK_TAKEN_MAGIC 0x4b545854u /* "TXTK" */

void chunk_taken_encode(uint64_t taken, uint8_t buf[CHUNK_DESC_BYTES]);
bool chunk_is_taken(const uint8_t buf[CHUNK_DESC_BYTES]);
/* Returns 0, or TCPX_EPROTO: magic, or what should be 0 is not. */
int chunk_taken_decode(const uint8_t buf[CHUNK_DESC_BYTES], uint64_t *taken);

#endif
