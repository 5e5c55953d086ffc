/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "transport/socket/socket.h"

static uint32_t at_most(uint32_t wanted, uint32_t fallback, uint32_t most)
{
	if (!wanted)
		wanted = fallback;
	return wanted < most ? wanted : most;
}

static int probe(const struct transport_params *params, char *why,
		 size_t cap_bytes)
{
	return TCPX_OK;
}

enum { SETTING_LEND };

static const struct transport_setting own_settings[] = {
	[SETTING_LEND] = {.variable = "TCPX_SOCKET_LEND_BYTES",
			  .kind = TRANSPORT_SETTING_NUMBER,
			  .def = 64u << 10,
			  .max = 1u << 30,
			  .help = "chunks of device memory at least so long "
				  "are sent from their slots without a copy; "
				  "0: none"},
	{0},
};

static int read_lend_bytes(const struct transport_params *params,
			   uint32_t *lend_bytes)
{
	const struct transport_setting *s = &own_settings[SETTING_LEND];
	const char *text = getenv(s->variable);
	uint64_t value;

	if (!transport_setting_number(s, text && *text ? text : NULL, &value)) {
		log_error(params->log, "socket", "%s is \"%s\", not 0 to %llu",
			  s->variable, text, (unsigned long long)s->max);
		return TCPX_EINVAL;
	}
	*lend_bytes = value ? (uint32_t)value : UINT32_MAX;
	return TCPX_OK;
}

static int open_transport(const struct transport_params *params,
			  struct transport **transport)
{
	uint32_t lend_bytes;
	int err = read_lend_bytes(params, &lend_bytes);

	if (err)
		return err;
	struct transport *t = calloc(1, sizeof(*t));
	if (!t)
		return TCPX_ENOMEM;
	t->lend_bytes = lend_bytes;
	t->told_ms = SOCKET_TOLD_MS;
	list_init(&t->links);
	pthread_mutex_init(&t->lock, NULL);
	t->buffer_bytes = params->socket_buffer_bytes;
	t->limits = (struct transport_limits){
		.window = at_most(params->window_chunks, 16, 1u << 16),
		.sends_max = SOCKET_SENDS_MAX,
		.chunk_bytes =
			at_most(params->chunk_bytes, 512u << 10, 1u << 30),
		.spans_max = SOCKET_SPANS_MAX,
	};
	/* Any chunk may have to be received into a slot: one that needs more
	 * spans than fit, or that is not wanted any more. */
	t->limits.slot_bytes = t->limits.chunk_bytes;
	*transport = t;
	return TCPX_OK;
}

static void close_transport(struct transport *transport)
{
	socket_slots_fini(transport);
	pthread_mutex_destroy(&transport->lock);
	free(transport);
}

static void get_limits(struct transport *transport,
		       struct transport_limits *limits)
{
	*limits = transport->limits;
}

/* Neither option is vital; a socket that is not TCP has no Nagle to stop, and
 * cannot be reset. */
static void set_options(const struct transport *transport,
			struct socket_link *link)
{
	int one = 1, bytes = (int)transport->buffer_bytes, fd = link->fd;

	link->lends =
		!setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (!bytes)
		return;
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
}

static int adopt(struct transport *transport, int fd, struct channel **sender,
		 struct channel **receiver)
{
	struct socket_link *link = calloc(1, sizeof(*link));
	if (!link)
		return TCPX_ENOMEM;
	link->fd = fd;
	link->n_channels = 2;
	struct socket_sender *tx = socket_sender_create(transport, link);
	if (!tx)
		goto err_free_link;
	struct socket_receiver *rx = socket_receiver_create(transport, link);
	if (!rx)
		goto err_destroy_sender;
	link->sender = tx;
	link->receiver = rx;
	set_options(transport, link);
	pthread_mutex_lock(&transport->lock);
	list_add_tail(&transport->links, &link->link);
	pthread_mutex_unlock(&transport->lock);
	*sender = &tx->channel;
	*receiver = &rx->channel;
	return TCPX_OK;

err_destroy_sender:
	socket_sender_destroy(&tx->channel);
err_free_link:
	free(link);
	return TCPX_ENOMEM;
}

static void channel_close(struct channel *channel)
{
	static const struct sockaddr nobody = {.sa_family = AF_UNSPEC};
	struct transport *transport = channel->transport;
	struct socket_link *link = channel->link;

	if (channel->is_sender)
		socket_sender_destroy(channel);
	else
		socket_receiver_destroy(channel);
	if (--link->n_channels)
		return;
	pthread_mutex_lock(&transport->lock);
	list_del(&link->link);
	pthread_mutex_unlock(&transport->lock);
	/* Not by SO_LINGER: a child that the program forked holds the socket
	 * too, and what is not closed for good is not reset. */
	if (link->reset)
		(void)connect(link->fd, &nobody, sizeof(nobody));
	close(link->fd);
	free(link);
}

int socket_link_fail(struct socket_link *link, int status, const char *fmt, ...)
{
	va_list args;

	if (link->status)
		return link->status;
	if (load_relaxed(&link->overdue)) {
		snprintf(link->cause, sizeof(link->cause),
			 "the other end does not say that it took what it was "
			 "sent");
		return link->status = TCPX_ECHANNEL;
	}
	va_start(args, fmt);
	vsnprintf(link->cause, sizeof(link->cause), fmt, args);
	va_end(args);
	link->status = status;
	return status;
}

int socket_link_fail_errno(struct socket_link *link, const char *call, int err)
{
	bool gone = err == EPIPE || err == ECONNRESET;

	errno = err; /* for %m */
	if (gone)
		return socket_link_fail(link, TCPX_ECLOSED,
					"closed by the peer: %s: %m", call);
	return socket_link_fail(link, TCPX_ECHANNEL, "%s: %m", call);
}

bool socket_link_is_reset(struct socket_link *link)
{
	struct pollfd end = {.fd = link->fd};
	int err = 0;
	socklen_t len_bytes = sizeof(err);

	/* SO_ERROR alone tells of what TCP rides out, too, and only once. */
	if (!link->status && poll(&end, 1, 0) == 1 &&
	    end.revents & (POLLERR | POLLHUP)) {
		(void)getsockopt(link->fd, SOL_SOCKET, SO_ERROR, &err,
				 &len_bytes);
		socket_link_fail_errno(link, "receive", err ? err : ECONNRESET);
	}
	return link->status != 0;
}

static bool is_overdue(const struct transport *transport,
		       const struct socket_link *link, uint64_t now_ns)
{
	uint64_t since = load_relaxed(&link->untold_ns);

	return since && now_ns > since + transport->told_ms * NS_PER_MS;
}

/* Its owner sees that it was shut down, and does the rest. */
void socket_links_check(struct transport *transport)
{
	uint64_t now_ns = clock_coarse_ns();

	pthread_mutex_lock(&transport->lock);
	if (now_ns > transport->checked_ns + SOCKET_CHECK_NS) {
		transport->checked_ns = now_ns;
		list_for_each (node, &transport->links) {
			struct socket_link *link =
				list_entry(node, struct socket_link, link);

			if (!is_overdue(transport, link, now_ns))
				continue;
			store_relaxed(&link->overdue, true);
			shutdown(link->fd, SHUT_RDWR);
		}
	}
	pthread_mutex_unlock(&transport->lock);
}

void socket_fault(struct channel *channel, uint64_t cookie, const char *cause)
{
	channel->fault = true;
	channel->fault_cookie = cookie;
	socket_link_fail(channel->link, TCPX_ECHANNEL, "%s", cause);
}

int socket_fault_event(struct channel *channel, struct channel_event *event)
{
	if (!channel->fault)
		return 0;
	channel->fault = false;
	event->kind = CHANNEL_FAULT;
	event->cookie = channel->fault_cookie;
	return 1;
}

int socket_failed_event(struct channel *channel, struct channel_event *event)
{
	if (!channel->link->status)
		return 0;
	channel->told_failed = true;
	*event = (struct channel_event){
		.kind = CHANNEL_FAILED,
		.status = channel->link->status,
		.cause = channel->link->cause,
	};
	return 1;
}

static bool abandon(struct channel *channel, uint64_t cookie)
{
	if (channel->is_sender)
		return socket_sender_abandon(channel, cookie);
	socket_receiver_abandon(channel, cookie);
	return false;
}

static int poll_channel(struct channel *channel, struct channel_event *events,
			int max)
{
	if (channel->told_failed)
		return 0;
	if (channel->is_sender)
		return socket_sender_poll(channel, events, max);
	return socket_receiver_poll(channel, events, max);
}

static int wait_fd(struct channel *channel, uint32_t *events)
{
	if (channel->is_sender)
		*events = socket_sender_waits_for(channel);
	else
		*events = socket_receiver_waits_for(channel);
	return channel->link->fd;
}

static int get_counters(struct channel *channel,
			struct transport_counter *counters, int max)
{
	const struct transport_counter all[] = {
		{"bytes", channel->bytes},
		{"chunks", channel->chunks},
		{"syscalls", channel->syscalls},
		{"eagain", channel->eagain},
	};
	int n = 0;

	for (; n < max && n < (int)(sizeof(all) / sizeof(*all)); n++)
		counters[n] = all[n];
	return n;
}

extern const struct transport_ops transport_socket;
const struct transport_ops transport_socket = {
	.name = "socket",
	.caps = TRANSPORT_DESC_INLINE | TRANSPORT_IN_PLACE |
		TRANSPORT_FRAGMENTS | TRANSPORT_GPU,
	.settings = own_settings,
	.probe = probe,
	.open = open_transport,
	.close = close_transport,
	.limits = get_limits,
	.adopt = adopt,
	.channel_close = channel_close,
	.post_recv = socket_receiver_post,
	.bind = socket_receiver_bind,
	.consume = socket_receiver_consume,
	.slot_get = socket_sender_slot_get,
	.slot_put = socket_sender_slot_put,
	.post_send = socket_sender_post,
	.abandon = abandon,
	.poll = poll_channel,
	.wait_fd = wait_fd,
	.counters = get_counters,
};
