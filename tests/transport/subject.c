/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "contract.h"

void subject_find(struct subject *subject)
{
	const char *name = getenv("TRANSPORT");

	*subject = (struct subject){0};
	if (!name)
		name = "socket";
	if (strcmp(name, "socket:unix") == 0) {
		subject->unix_sockets = true;
		name = "socket";
	}
	subject->ops = transport_find(name);
	if (!subject->ops) {
		fprintf(stderr, "TRANSPORT=%s: no such transport\n", name);
		exit(2);
	}
	subject->caps = transport_caps(subject->ops);
}

void subject_open(struct subject *subject, uint32_t chunk_bytes)
{
	char why[200] = "";

	pattern_init();
	subject_find(subject);
	struct transport_params params = {
		.chunk_bytes = chunk_bytes,
		.window_chunks = 16,
		.slot_bytes = chunk_bytes,
		/* Small, so that large chunks stop in the middle. */
		.socket_buffer_bytes = chunk_bytes > CHUNK_BYTES ? 32u << 10 :
								   0,
		.seed = check_seed(),
	};
	int status = subject->ops->probe(&params, why, sizeof(why));
	if (status) {
		CHECK_STATUS(status, TCPX_EUNSUPPORTED);
		CHECK(why[0]);
		SKIP(why);
	}
	CHECK_STATUS(subject->ops->open(&params, &subject->transport), TCPX_OK);
	subject->ops->limits(subject->transport, &subject->limits);
}

void subject_close(struct subject *subject)
{
	subject->ops->close(subject->transport);
}

bool subject_can(const struct subject *subject, uint32_t caps)
{
	return (subject->caps & caps) == caps;
}

static void tcp_pair(int fds[2])
{
	struct sockaddr_in addr = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	socklen_t len = sizeof(addr);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	CHECK(fd >= 0);
	CHECK_EQ(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	CHECK_EQ(listen(fd, 1), 0);
	CHECK_EQ(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
	fds[0] = socket(AF_INET, SOCK_STREAM, 0);
	CHECK_EQ(connect(fds[0], (struct sockaddr *)&addr, sizeof(addr)), 0);
	fds[1] = accept(fd, NULL, NULL);
	CHECK(fds[1] >= 0);
	close(fd);
}

void subject_sockets(const struct subject *subject, int fds[2])
{
	if (subject->unix_sockets)
		CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	else
		tcp_pair(fds);
	for (int i = 0; i < 2; i++)
		CHECK_EQ(fcntl(fds[i], F_SETFL, O_NONBLOCK), 0);
}
