/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "base/log.h"
#include "contract.h"
#include "fakes/netplugin/rxdm.h"
#include "gpu/gpu.h"

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

/* With TRANSPORT_LOG set, what a transport has to say. */
static void print_log(void *arg, enum tcpx_log_level level,
		      const char *subsystem, const char *text)
{
	fprintf(stderr, "# %s: %s\n", subsystem, text);
}

static struct gpu_set *open_gpus(const char *driver)
{
	const struct gpu_params params = {
		.slot_bytes = 1u << 20,
		.n_slots = 64,
	};
	struct gpu_set *gpus;
	char why[200] = "";

	if (!driver)
		return NULL;
	CHECK_STATUS(gpu_set_create(driver, &params, &gpus), TCPX_OK);
	if (!gpu_set_count(gpus, why, sizeof(why)))
		SKIP(why);
	return gpus;
}

struct gpu *subject_gpu(const struct subject *subject, struct channel *channel)
{
	const struct transport_ops *ops = subject->ops;

	return ops->channel_gpu ? ops->channel_gpu(channel) : NULL;
}

const uint8_t *subject_read(const struct subject *subject,
			    struct channel *channel, const uint8_t *from,
			    size_t len_bytes, uint8_t *scratch)
{
	struct gpu *gpu = subject_gpu(subject, channel);

	if (!gpu)
		return from;
	CHECK_STATUS(gpu_copy_wait(gpu, scratch, from, len_bytes), TCPX_OK);
	return scratch;
}

static char daemon_dir[64];

/* The plugin's pool is a receive daemon's, as the real one's is: one that runs
 * already, if where is a directory. */
static void start_daemon(const char *where)
{
	static struct rxdm_pool pool = {"", -1, 512u << 20};

	if (where[0] == '/') {
		setenv("DOUBLE_POOL_FROM", where, 1);
		setenv("NCCL_GPUDIRECTTCPX_UNIX_CLIENT_PREFIX", where, 1);
		return;
	}

	snprintf(daemon_dir, sizeof(daemon_dir), "/tmp/tcpx-rxdm-XXXXXX");
	CHECK(mkdtemp(daemon_dir));
	pool.fd = memfd_create("pool", MFD_CLOEXEC);
	CHECK_EQ(ftruncate(pool.fd, (off_t)pool.len_bytes), 0);
	CHECK_EQ(rxdm_serve(daemon_dir, &pool, RXDM_GOOD), 0);
	setenv("DOUBLE_POOL_FROM", daemon_dir, 1);
	setenv("NCCL_GPUDIRECTTCPX_UNIX_CLIENT_PREFIX", daemon_dir, 1);
}

void subject_open(struct subject *subject, uint32_t chunk_bytes)
{
	char why[200] = "";

	pattern_init();
	subject_find(subject);
	if (getenv("TRANSPORT_DAEMON"))
		start_daemon(getenv("TRANSPORT_DAEMON"));
	subject->gpus = open_gpus(getenv("TRANSPORT_GPU"));
	static const struct log log = {
		.fn = print_log,
		.level = TCPX_LOG_DEBUG,
	};
	struct transport_params params = {
		.log = getenv("TRANSPORT_LOG") ? &log : NULL,
		.gpus = subject->gpus,
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
	if (subject->gpus && subject_can(subject, TRANSPORT_GPU) &&
	    !subject->ops->channel_gpu)
		CHECK_STATUS(gpu_set_open(subject->gpus, 0, &subject->pins, why,
					  sizeof(why)),
			     TCPX_OK);
}

void subject_close(struct subject *subject)
{
	subject->ops->close(subject->transport);
	gpu_set_destroy(subject->gpus);
	if (daemon_dir[0])
		rxdm_clean(daemon_dir);
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
