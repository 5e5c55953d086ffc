/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ANY_MSG_H
#define ANY_MSG_H

/* Any body of a control message by its type: for tests that treat all alike.
 * X(type, name of the codec, struct). HEARTBEAT and ACK have no body. */

#include <tcpx/status.h>

#include "wire/cursor.h"
#include "wire/msg.h"

#define ANY_MSG_MAP(X)                                                         \
	X(MSG_GOODBYE, goodbye, msg_goodbye)                                   \
	X(MSG_LIST, list, msg_list)                                            \
	X(MSG_LIST_DROP, list_drop, msg_list_drop)                             \
	X(MSG_WRITE, write, msg_write)                                         \
	X(MSG_READ, write, msg_write)                                          \
	X(MSG_READ_END, read_end, msg_read_end)                                \
	X(MSG_PUT, put, msg_put)                                               \
	X(MSG_GET, get, msg_get)                                               \
	X(MSG_GET_DATA, get_data, msg_get_data)                                \
	X(MSG_SEND, send, msg_send)                                            \
	X(MSG_SEND_GO, send_go, msg_send_go)                                   \
	X(MSG_DONE, done, msg_done)                                            \
	X(MSG_CANCEL, xfer, msg_xfer)                                          \
	X(MSG_CHUNK, chunk, msg_chunk)                                         \
	X(MSG_CREDIT, credit, msg_credit)                                      \
	X(MSG_CHANNEL_DOWN, channel, msg_channel)                              \
	X(MSG_CHANNEL_FENCED, channel, msg_channel)                            \
	X(MSG_NOTIFY, notify, msg_notify)                                      \
	X(MSG_NOTIFY_PART, notify_part, msg_notify_part)                       \
	X(MSG_NOTIFY_TAKEN, notify_taken, msg_notify_taken)                    \
	X(MSG_LANE_OFFER, lane, msg_lane)                                      \
	X(MSG_LANE_READY, lane, msg_lane)                                      \
	X(MSG_LANE_DOWN, lane, msg_lane)

union any_msg {
	struct msg_goodbye goodbye;
	struct msg_list list;
	struct msg_list_drop list_drop;
	struct msg_write write;
	struct msg_read_end read_end;
	struct msg_put put;
	struct msg_get get;
	struct msg_get_data get_data;
	struct msg_send send;
	struct msg_send_go send_go;
	struct msg_xfer xfer;
	struct msg_done done;
	struct msg_chunk chunk;
	struct msg_credit credit;
	struct msg_channel channel;
	struct msg_notify notify;
	struct msg_notify_part notify_part;
	struct msg_notify_taken notify_taken;
	struct msg_lane lane;
};

static inline int any_msg_decode(uint16_t type, const void *body,
				 size_t len_bytes, union any_msg *m)
{
	struct wire_reader r;

	wire_reader_init(&r, body, len_bytes);
	switch (type) {
#define X(type, name, body)                                                    \
	case type:                                                             \
		return msg_##name##_decode(&r, &m->name);
		ANY_MSG_MAP(X)
#undef X
	default:
		return wire_reader_done(&r) ? 0 : TCPX_EPROTO;
	}
}

/* Returns the body's length in bytes, or TCPX_ENOSPC. */
static inline int any_msg_encode(uint16_t type, const union any_msg *m,
				 void *body, size_t cap_bytes)
{
	struct wire_writer w;

	wire_writer_init(&w, body, cap_bytes);
	switch (type) {
#define X(type, name, body)                                                    \
	case type:                                                             \
		msg_##name##_encode(&w, &m->name);                             \
		break;
		ANY_MSG_MAP(X)
#undef X
	default:
		break;
	}
	return w.failed ? TCPX_ENOSPC : (int)(w.at - (uint8_t *)body);
}

#endif
