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

#include <stdint.h>

#define CHUNK_DESC_BYTES 48
#define CHUNK_DESC_MAGIC 0x4b435854u /* "TXCK" */

enum chunk_flag {
	CHUNK_REPLY = 1,	/* transfer is an id of the chunk's receiver (a
				   READ), else of its sender */
	CHUNK_CHECKSUM = 2,	/* checksum is XXH3-64 of the payload */
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

#endif
