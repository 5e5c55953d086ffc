/* SPDX-License-Identifier: Apache-2.0 */
#include "message.h"

#include "clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEND_WAIT_MS 5000
#define LOOK_EVERY_MS 200

int message_send(struct tcpx_session *session, uint64_t peer, json_t *message)
{
	uint64_t deadline_ns = now_ns() + SEND_WAIT_MS * NS_PER_MS;
	char *text = message ? json_dumps(message, JSON_COMPACT) : NULL;
	int status;

	json_decref(message);
	if (!text)
		return TCPX_ENOMEM;
	do
		status = tcpx_notify_send(session, peer, text, strlen(text));
	while (status == TCPX_EAGAIN && now_ns() < deadline_ns);
	free(text);
	return status;
}

static json_t *parse(const struct tcpx_notification *notification)
{
	json_t *json = json_loadb(notification->data, notification->len_bytes,
				  0, NULL);

	if (json && !json_is_object(json)) {
		json_decref(json);
		return NULL;
	}
	return json;
}

/* One notification: a message wanted, or nothing. */
static json_t *take(struct tcpx_session *session, uint64_t peer,
		    struct tcpx_notification *notification, uint64_t *from)
{
	json_t *json = NULL;

	*from = notification->peer;
	if (peer == 0 || notification->peer == peer)
		json = parse(notification);
	else
		(void)!message_send(session, notification->peer,
				    json_pack("{ss}", "error",
					      "busy with another client"));
	tcpx_notify_free(notification);
	return json;
}

int message_wait(struct tcpx_session *session, uint64_t peer, int timeout_ms,
		 json_t **message, uint64_t *from)
{
	uint64_t deadline_ns = now_ns() + (uint64_t)timeout_ms * NS_PER_MS;
	struct tcpx_notification *notification;
	uint64_t sender;
	json_t *json = NULL;
	int status, left;

	while (!json) {
		left = left_ms(deadline_ns);
		status = tcpx_notify_wait(session, &notification,
					  left < LOOK_EVERY_MS ? left :
								 LOOK_EVERY_MS);
		if (status == 0)
			json = take(session, peer, notification, &sender);
		else if (status != TCPX_ETIMEDOUT)
			return status;
		else if (peer && (status = tcpx_peer_wait(session, peer, 0)) &&
			 status != TCPX_ETIMEDOUT)
			return status;
		else if (left == 0)
			return TCPX_ETIMEDOUT;
	}
	*message = json;
	if (from)
		*from = sender;
	return 0;
}

static int fail(struct message_error *error, int status, const char *what,
		const char *why)
{
	snprintf(error->text, sizeof(error->text), "%s: %s", what, why);
	return status;
}

int message_reply(struct tcpx_session *session, uint64_t peer, int timeout_ms,
		  json_t **reply, struct message_error *error)
{
	json_t *answer = NULL;
	const char *why;
	int status = message_wait(session, peer, timeout_ms, &answer, NULL);

	if (status)
		return fail(error, status,
			    status == TCPX_ECLOSED ?
				    "the other end has ended" :
				    "the other end does not answer",
			    tcpx_strerror(status));
	why = json_string_value(json_object_get(answer, "error"));
	if (why) {
		fail(error, 0, "the other end", why);
		json_decref(answer);
		return TCPX_EREMOTE;
	}
	if (reply)
		*reply = answer;
	else
		json_decref(answer);
	return 0;
}

int message_call(struct tcpx_session *session, uint64_t peer, json_t *request,
		 int timeout_ms, json_t **reply, struct message_error *error)
{
	int status = message_send(session, peer, request);

	if (status)
		return fail(error, status, "cannot ask the other end",
			    tcpx_strerror(status));
	return message_reply(session, peer, timeout_ms, reply, error);
}

json_t *json_hex(const void *bytes, size_t len_bytes)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *from = bytes;
	char *text = malloc(2 * len_bytes + 1);
	json_t *json;

	if (!text)
		return NULL;
	for (size_t i = 0; i < len_bytes; i++) {
		text[2 * i] = digits[from[i] >> 4];
		text[2 * i + 1] = digits[from[i] & 15];
	}
	json = json_stringn(text, 2 * len_bytes);
	free(text);
	return json;
}

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

int json_unhex(const json_t *text, void *bytes, size_t cap_bytes,
	       size_t *len_bytes)
{
	const char *from = json_string_value(text);
	size_t n = json_string_length(text);
	unsigned char *to = bytes;
	int high, low;

	if (!from || n % 2)
		return TCPX_EINVAL;
	if (n / 2 > cap_bytes)
		return TCPX_ENOSPC;
	for (size_t i = 0; i < n / 2; i++) {
		high = digit(from[2 * i]);
		low = digit(from[2 * i + 1]);
		if (high < 0 || low < 0)
			return TCPX_EINVAL;
		to[i] = (unsigned char)(high << 4 | low);
	}
	*len_bytes = n / 2;
	return 0;
}
