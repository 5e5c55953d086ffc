/* SPDX-License-Identifier: Apache-2.0 */
#include "e2e/evil.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "base/log.h"
#include "check.h"
#include "e2e/raw.h"
#include "support/scale.h"

static const struct log no_log;

static int refuse_all(void *arg, const struct boot_result *result,
		      uint64_t *token, char *why, size_t cap_bytes)
{
	return TCPX_EREFUSED;
}

static void take_none(void *arg, const struct boot_result *result)
{
}

static void on_connected(void *arg, uint64_t cookie, int status,
			 const char *cause, const struct boot_result *result)
{
	struct timeval limit = {.tv_sec = 3};
	struct evil *evil = arg;

	evil->connected = true;
	evil->status = status;
	if (status) {
		fprintf(stderr, "evil: %s\n", cause);
		return;
	}
	if (result->purpose == HELLO_CONTROL)
		evil->hello = *result;
	if (result->purpose != HELLO_FLOW) {
		evil->ctl = result->fd;
	} else {
		evil->flow = result->fd;
	}
	/* Blocking from here on: it is simpler to be evil that way. But not
	 * for ever, where the victim does not read. */
	fcntl(result->fd, F_SETFL, 0);
	setsockopt(result->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
}

static const struct boot_ops ops = {
	.admit = refuse_all,
	.accepted = take_none,
	.dropped = take_none,
	.connected = on_connected,
};

static struct boot_target target_of(const struct evil *evil,
				    enum hello_purpose purpose)
{
	struct boot_target target = {.purpose = purpose,
				     .key = HELLO_KEY_BLOB,
				     .addr = evil->victim.ctrl,
				     .token = evil->hello.token};

	memcpy(target.secret, evil->victim.secret, SECRET_BYTES);
	memcpy(target.session, evil->victim.session, SESSION_ID_BYTES);
	return target;
}

static int connect_to(struct evil *evil, const struct boot_target *target)
{
	evil->connected = false;
	CHECK_STATUS(boot_connect(evil->boot, target, 1, 3000), TCPX_OK);
	for (int i = 0; i < 500 && !evil->connected; i++)
		boot_run(evil->boot, 10);
	CHECK(evil->connected);
	return evil->status;
}

static void connect_as(struct evil *evil, enum hello_purpose purpose)
{
	struct boot_target target = target_of(evil, purpose);

	target.generation = purpose == HELLO_FLOW;
	target.flow = purpose == HELLO_FLOW ? evil->channel : 0;
	CHECK_STATUS(connect_to(evil, &target), TCPX_OK);
}

int evil_resume(struct evil *evil, const struct evil_claim *claim, int *old)
{
	struct boot_target target = target_of(evil, HELLO_RESUME);
	int before = evil->ctl;

	target.token = claim->token;
	target.generation = claim->generation;
	target.secret[0] ^= claim->wrong_secret;
	if (claim->port)
		addr_set_port(&target.addr, claim->port);
	int status = connect_to(evil, &target);

	if (status)
		return status;
	if (old)
		*old = before;
	else
		close(before);
	return 0;
}

int evil_connect_again(struct evil *evil)
{
	struct boot_target target = target_of(evil, HELLO_CONTROL);
	int before = evil->ctl, status;

	target.token = 0;
	status = connect_to(evil, &target);
	if (!status && before >= 0)
		close(before);
	return status;
}

void evil_open(struct evil *evil, struct sess *victim)
{
	struct boot_params params = {
		.log = &no_log,
		.name = "evil",
		.limits = {.chunk_bytes = 512 << 10,
			   .window_chunks = 64,
			   .small_bytes = 8192,
			   .list_segments = 1000000,
			   .n_flows = 2,
			   .n_rails = 1,
			   .notify_bytes = 16 << 20,
			   .liveness_ms = 10000},
		.transports = "socket",
		.max_half_open = 4,
		.timeout_ms = 3000,
	};
	uint8_t blob[TCPX_BLOB_MAX];
	size_t len;

	memset(evil, 0, sizeof(*evil));
	evil->ctl = evil->flow = -1;
	CHECK_STATUS(tcpx_session_blob(victim->s, blob, sizeof(blob), &len),
		     TCPX_OK);
	CHECK_STATUS(conn_blob_decode(blob, len, &evil->victim), TCPX_OK);
	for (size_t i = 0; i < SESSION_ID_BYTES; i++)
		params.session[i] = (uint8_t)(test_now_ns() >> i);
	memcpy(evil->session, params.session, SESSION_ID_BYTES);
	CHECK_STATUS(boot_open(&params, &ops, evil, &evil->boot), TCPX_OK);
	connect_as(evil, HELLO_CONTROL);
}

void evil_open_flow(struct evil *evil)
{
	evil_open_flow_as(evil, 0);
}

void evil_open_flow_as(struct evil *evil, uint32_t channel)
{
	evil->channel = channel;
	connect_as(evil, HELLO_FLOW);
}

void evil_close(struct evil *evil)
{
	if (evil->ctl >= 0)
		close(evil->ctl);
	if (evil->flow >= 0)
		close(evil->flow);
	boot_close(evil->boot);
}

void evil_send_credit(struct evil *evil, uint64_t granted, uint64_t placed)
{
	struct msg_credit msg = {.channel = evil->channel,
				 .generation = 1,
				 .granted = granted,
				 .placed = placed};

	evil_begin(evil);
	msg_credit_encode(&evil->w, &msg);
	evil_say(evil, MSG_CREDIT);
}

void evil_send_done(struct evil *evil, uint64_t xfer, int status)
{
	struct msg_done msg = {.xfer = xfer, .status = status};

	evil_begin(evil);
	msg_done_encode(&evil->w, &msg);
	evil_say(evil, MSG_DONE);
}

void evil_read_flow(struct evil *evil, void *to, size_t len_bytes)
{
	for (size_t n = 0; n < len_bytes;) {
		ssize_t got = raw_read(evil->flow, (uint8_t *)to + n,
				       len_bytes - n, scale_ms(6000));

		CHECK(got > 0);
		n += (size_t)got;
	}
}

void evil_begin(struct evil *evil)
{
	wire_writer_init(&evil->w, evil->body, sizeof(evil->body));
}

void evil_say_as(struct evil *evil, const struct msg_header *header)
{
	uint8_t head[MSG_HEADER_BYTES];
	size_t len = (size_t)(evil->w.at - evil->body);

	CHECK(!evil->w.failed);
	msg_header_encode(header, head);
	if (raw_send(evil->ctl, head, sizeof(head)))
		raw_send(evil->ctl, evil->body, len);
}

void evil_say(struct evil *evil, uint16_t type)
{
	struct msg_header header = {
		.body_bytes = (uint32_t)(evil->w.at - evil->body),
		.type = type,
	};

	if (type != MSG_HEARTBEAT && type != MSG_ACK)
		header.seq = ++evil->seq;
	evil_say_as(evil, &header);
}

static bool read_all(int fd, uint8_t *to, size_t len, uint64_t end_ns)
{
	while (len) {
		uint64_t now = test_now_ns();
		ssize_t n;

		if (now >= end_ns)
			return false;
		n = raw_read(fd, to, len, (int)((end_ns - now) / 1000000) + 1);
		if (n <= 0)
			return false;
		to += n;
		len -= (size_t)n;
	}
	return true;
}

bool evil_hear(struct evil *evil, uint16_t type, struct wire_reader *r,
	       int timeout_ms)
{
	uint64_t end_ns = test_now_ns() + (uint64_t)timeout_ms * 1000000u;
	struct msg_header *h = &evil->got_header;

	do {
		if (!read_all(evil->ctl, evil->got, MSG_HEADER_BYTES, end_ns))
			return false;
		CHECK_STATUS(msg_header_decode(evil->got, h), TCPX_OK);
		if (!read_all(evil->ctl, evil->got, h->body_bytes, end_ns))
			return false;
	} while (h->type != type);
	wire_reader_init(r, evil->got, h->body_bytes);
	return true;
}

bool evil_was_dropped(struct evil *evil, int timeout_ms)
{
	return raw_wait_closed(evil->ctl, timeout_ms);
}

void evil_list(struct evil_list *list, uint64_t mem, uint64_t key, uint64_t off,
	       uint32_t len_bytes)
{
	struct msg_region region = {mem, key};
	struct wire_seg seg = {.off = off, .len_bytes = len_bytes};
	struct wire_writer w;

	msg_region_encode(&region, list->row);
	list->regions = (struct msg_bytes){list->row, sizeof(list->row)};
	wire_writer_init(&w, list->segs, sizeof(list->segs));
	CHECK_EQ(segs_encode(&w, &seg, 1), 1);
	list->encoded =
		(struct msg_bytes){list->segs, (uint32_t)(w.at - list->segs)};
}

void evil_send_list(struct evil *evil, uint64_t id,
		    const struct evil_list *list, uint64_t total_bytes)
{
	struct msg_list msg = {.list = id,
			       .total_segs = 1,
			       .count = 1,
			       .total_bytes = total_bytes,
			       .n_regions = 1,
			       .regions = list->regions,
			       .segs = list->encoded};

	evil_begin(evil);
	msg_list_encode(&evil->w, &msg);
	evil_say(evil, MSG_LIST);
}

void evil_send_chunk(struct evil *evil, const struct chunk_desc *desc,
		     const void *payload, uint32_t len_bytes)
{
	uint8_t buf[CHUNK_DESC_BYTES];

	chunk_desc_encode(desc, buf);
	if (raw_send(evil->flow, buf, sizeof(buf)))
		raw_send(evil->flow, payload, len_bytes);
}
