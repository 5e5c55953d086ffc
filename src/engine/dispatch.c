/* SPDX-License-Identifier: Apache-2.0 */

/* Control messages, by type: decode, then call who it concerns. */

#include "base/clock.h"
#include "engine/lane.h"
#include "engine/match.h"
#include "engine/notes.h"
#include "engine/peer.h"
#include "engine/target.h"
#include "engine/xfer.h"

typedef int (*message_fn)(struct peer *peer, struct wire_reader *r);

/* A handler that decodes its body and hands it over. */
#define TAKES(name, type, codec, call)                                         \
	static int name(struct peer *peer, struct wire_reader *r)              \
	{                                                                      \
		struct type msg;                                               \
		int err = msg_##codec##_decode(r, &msg);                       \
                                                                               \
		return err ? err : call;                                       \
	}

TAKES(on_list, msg_list, list, target_on_list(peer, &msg))
TAKES(on_list_drop, msg_list_drop, list_drop,
      target_on_list_drop(peer, msg.list))
TAKES(on_write, msg_write, write, target_on_write(peer, &msg))
TAKES(on_read, msg_write, write, target_on_read(peer, &msg))
TAKES(on_read_end, msg_read_end, read_end, target_on_read_end(peer, &msg))
TAKES(on_put, msg_put, put, target_on_put(peer, &msg))
TAKES(on_get, msg_get, get, target_on_get(peer, &msg))
TAKES(on_get_data, msg_get_data, get_data,
      xfer_on_get_data(peer, msg.xfer, &msg.data))
TAKES(on_send, msg_send, send, match_send(peer, &msg))
TAKES(on_send_go, msg_send_go, send_go, xfer_on_send_go(peer, &msg))
TAKES(on_done, msg_done, done, xfer_on_done(peer, &msg))
TAKES(on_cancel, msg_xfer, xfer, target_on_cancel(peer, msg.xfer))
TAKES(on_notify, msg_notify, notify,
      notes_deliver_now(peer, msg.notify, &msg.note))
TAKES(on_notify_part, msg_notify_part, notify_part, notes_on_part(peer, &msg))

static int on_notify_taken(struct peer *peer, struct wire_reader *r)
{
	struct msg_notify_taken msg;
	int err = msg_notify_taken_decode(r, &msg);

	if (!err)
		notes_on_taken(peer, msg.taken_bytes);
	return err;
}

static int on_chunk(struct peer *peer, struct wire_reader *r)
{
	struct msg_chunk msg;
	int err = msg_chunk_decode(r, &msg);

	if (err)
		return err;
	struct lane *lane = peer_lane_find(peer, msg.channel, msg.generation);

	if (!lane)
		return 0; /* of a lane that died here */
	err = lane_announce(lane, &msg.desc);
	if (!err)
		lane_wake(lane);
	return err;
}

static int on_credit(struct peer *peer, struct wire_reader *r)
{
	struct msg_credit msg;
	int err = msg_credit_decode(r, &msg);

	if (err)
		return err;
	struct lane *lane = peer_lane_find(peer, msg.channel, msg.generation);

	if (!lane)
		return peer_early_credit(peer, &msg);
	/* Room alone, as a new lane gives, is no progress, nor are chunks that
	 * were never cut. */
	if (msg.placed > lane->acked && msg.placed <= lane->next)
		peer->placed_ns = clock_coarse_ns();
	lane_credit(lane, &msg);
	return 0;
}

static int on_channel(struct peer *peer, struct wire_reader *r, bool fenced)
{
	struct msg_channel msg;
	int err = msg_channel_decode(r, &msg);

	if (err)
		return err;
	struct lane *lane = peer_lane_find(peer, msg.channel, msg.generation);

	if (lane && fenced)
		lane_fenced(lane, &msg);
	else if (lane)
		lane_down(lane, &msg);
	return 0;
}

static int on_channel_down(struct peer *peer, struct wire_reader *r)
{
	return on_channel(peer, r, false);
}

static int on_channel_fenced(struct peer *peer, struct wire_reader *r)
{
	return on_channel(peer, r, true);
}

static int on_lane_offer(struct peer *peer, struct wire_reader *r)
{
	struct msg_lane msg;
	int err = msg_lane_decode(r, &msg);

	return err ? err : peer_on_lane_message(peer, MSG_LANE_OFFER, &msg);
}

static int on_lane_ready(struct peer *peer, struct wire_reader *r)
{
	struct msg_lane msg;
	int err = msg_lane_decode(r, &msg);

	return err ? err : peer_on_lane_message(peer, MSG_LANE_READY, &msg);
}

static int on_lane_down(struct peer *peer, struct wire_reader *r)
{
	struct msg_lane msg;
	int err = msg_lane_decode(r, &msg);

	return err ? err : peer_on_lane_message(peer, MSG_LANE_DOWN, &msg);
}

static int on_goodbye(struct peer *peer, struct wire_reader *r)
{
	struct msg_goodbye msg;
	int err = msg_goodbye_decode(r, &msg);

	if (!err)
		peer_doom(peer, TCPX_ECLOSED, msg.text);
	return err;
}

static int on_nothing(struct peer *peer, struct wire_reader *r)
{
	(void)peer;
	return wire_reader_done(r) ? 0 : TCPX_EPROTO;
}

static const message_fn handlers[MSG_TYPE_END] = {
	[MSG_HEARTBEAT] = on_nothing,
	[MSG_ACK] = on_nothing,
	[MSG_GOODBYE] = on_goodbye,
	[MSG_LIST] = on_list,
	[MSG_LIST_DROP] = on_list_drop,
	[MSG_WRITE] = on_write,
	[MSG_READ] = on_read,
	[MSG_READ_END] = on_read_end,
	[MSG_PUT] = on_put,
	[MSG_GET] = on_get,
	[MSG_GET_DATA] = on_get_data,
	[MSG_SEND] = on_send,
	[MSG_SEND_GO] = on_send_go,
	[MSG_DONE] = on_done,
	[MSG_CANCEL] = on_cancel,
	[MSG_CHUNK] = on_chunk,
	[MSG_CREDIT] = on_credit,
	[MSG_CHANNEL_DOWN] = on_channel_down,
	[MSG_CHANNEL_FENCED] = on_channel_fenced,
	[MSG_NOTIFY] = on_notify,
	[MSG_NOTIFY_PART] = on_notify_part,
	[MSG_NOTIFY_TAKEN] = on_notify_taken,
	[MSG_LANE_OFFER] = on_lane_offer,
	[MSG_LANE_READY] = on_lane_ready,
	[MSG_LANE_DOWN] = on_lane_down,
};

int peer_dispatch(struct peer *peer, const struct msg_header *h,
		  const uint8_t *body)
{
	struct wire_reader r;

	wire_reader_init(&r, body, h->body_bytes);
	return handlers[h->type](peer, &r);
}
