/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <sys/socket.h>
#include <tcpx/status.h>
#include <unistd.h>

#include "fuzz.h"
#include "transport/netplugin/address.h"
#include "transport/netplugin/side.h"

/*
 * What the net plugin transport takes from the network: the address of a
 * receiver, and the messages of a side connection. The first byte says which,
 * and in which pieces the stream of the latter comes.
 */

static void check_address(const uint8_t *data, size_t len_bytes)
{
	uint8_t once[ADDRESS_BYTES], twice[ADDRESS_BYTES];
	struct address address, again;

	if (address_decode(data, len_bytes, &address))
		return;
	MUST(len_bytes == ADDRESS_BYTES);
	MUST(strnlen(address.ifname, ADDRESS_NAME_BYTES) < ADDRESS_NAME_BYTES);
	MUST(strnlen(address.plugin, ADDRESS_NAME_BYTES) < ADDRESS_NAME_BYTES);
	MUST(addr_len(&address.side) > 0);
	address_encode(&address, once);
	MUST(address_decode(once, sizeof(once), &again) == 0);
	MUST(addr_equal(&address.side, &again.side));
	MUST(addr_port(&address.side) == addr_port(&again.side));
	address_encode(&again, twice);
	MUST(memcmp(once, twice, sizeof(once)) == 0);
}

/* Sent on, it is the bytes it was made of. */
static void check_message(const struct side_message *message,
			  const uint8_t *bytes)
{
	struct side_message again;
	struct side from, to;
	int fds[2];

	MUST(message->type >= SIDE_HELLO && message->type <= SIDE_BYE);
	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
	side_init(&from, fds[0]);
	side_init(&to, fds[1]);
	MUST(side_send(&from, message) == 0);
	MUST(side_receive(&to, &again) == 1);
	MUST(memcmp(to.in, bytes, SIDE_MESSAGE_BYTES) == 0);
	MUST(again.type == message->type && again.number == message->number);
	side_close(&from);
	side_close(&to);
}

/* The k-th message begins where it must, however the bytes come. */
static void check_stream(const uint8_t *data, size_t len_bytes, size_t piece)
{
	struct side_message message;
	struct side side;
	size_t sent = 0, taken = 0;
	int fds[2], got = 0;

	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
	side_init(&side, fds[0]);
	while (sent < len_bytes && got >= 0) {
		size_t n = len_bytes - sent < piece ? len_bytes - sent : piece;

		MUST(send(fds[1], data + sent, n, 0) == (ssize_t)n);
		sent += n;
		while ((got = side_receive(&side, &message)) == 1) {
			check_message(&message, data + taken);
			taken += SIDE_MESSAGE_BYTES;
			MUST(taken <= sent);
		}
	}
	close(fds[1]);
	if (got >= 0) {
		MUST(sent - taken < SIDE_MESSAGE_BYTES);
		MUST(side_receive(&side, &message) == TCPX_ECLOSED);
	} else {
		MUST(got == TCPX_EPROTO);
		MUST(sent - taken >= SIDE_MESSAGE_BYTES);
	}
	side_close(&side);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len_bytes)
{
	if (len_bytes == 0 || len_bytes > 4096)
		return 0;
	if (data[0] == 0)
		check_address(data + 1, len_bytes - 1);
	else
		check_stream(data + 1, len_bytes - 1, data[0]);
	return 0;
}
