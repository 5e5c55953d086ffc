/* SPDX-License-Identifier: Apache-2.0 */
#include "drive.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include "check.h"
#include "support/pattern.h"
#include "support/scale.h"

#define WAIT_MS 20000

const struct netplugin_v7 *drive_net;
uint64_t (*drive_hits)(int rule);
void (*drive_set_device)(int device);
void (*drive_pages)(int device, uint32_t *n_all, uint32_t *n_free,
		    uint32_t *n_lost);
unsigned drive_n_warnings;

static pthread_mutex_t warnings_lock = PTHREAD_MUTEX_INITIALIZER;
static char warnings[4096]; /* lock */
static size_t warnings_bytes;

/* Also from the plugin's threads. */
void drive_log(int level, unsigned long flags, const char *file, int line,
	       const char *fmt, ...)
{
	char text[512];
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (level != NETPLUGIN_LOG_WARN || n < 0)
		return;
	__atomic_add_fetch(&drive_n_warnings, 1, __ATOMIC_SEQ_CST);
	fprintf(stderr, "plugin: %s\n", text);
	pthread_mutex_lock(&warnings_lock);
	if (!strstr(text, "No free space") &&
	    warnings_bytes + sizeof(text) < sizeof(warnings))
		warnings_bytes += (size_t)snprintf(warnings + warnings_bytes,
						   sizeof(text), "%s\n", text);
	pthread_mutex_unlock(&warnings_lock);
}

bool drive_has_warned(const char *text)
{
	bool has;

	pthread_mutex_lock(&warnings_lock);
	has = strstr(warnings, text) != NULL;
	pthread_mutex_unlock(&warnings_lock);
	return has;
}

/*
 * Two NICs with loopback addresses of this process alone: a port that it has
 * closed is nobody's, however many tests run beside it, so that what dials it
 * is refused and does not reach a listener of another test.
 */
static void make_up_nics(void)
{
	uint32_t host = 1u << 23 | (uint32_t)getpid() << 1; /* 22 bits */
	char nics[64], addr[2][INET_ADDRSTRLEN];

	for (uint32_t i = 0; i < 2; i++) {
		struct in_addr in = {htonl(127u << 24 | host | i)};

		inet_ntop(AF_INET, &in, addr[i], sizeof(addr[i]));
	}
	snprintf(nics, sizeof(nics), "eth1=%s,eth2=%s", addr[0], addr[1]);
	setenv("DOUBLE_NICS", nics, 0);
}

void drive_env(void)
{
	char chunk[16];

	snprintf(chunk, sizeof(chunk), "%d", DRIVE_CHUNK_BYTES);
	setenv("NCCL_DYNAMIC_CHUNK_SIZE", chunk, 0);
	setenv("NCCL_GPUDIRECTTCPX_PROGRAM_FLOW_STEERING_WAIT_MICROS", "20000",
	       0);
	make_up_nics();
	setenv("DOUBLE_MEMORY", "host", 0);
	signal(SIGPIPE, SIG_IGN);
}

static void *load(const char *variable)
{
	const char *path = getenv(variable);
	void *object;

	drive_env();
	CHECK(path);
	object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!object)
		fprintf(stderr, "%s\n", dlerror());
	CHECK(object);
	return object;
}

static const struct netplugin_v8 *net_v8;

static int reg_mr_v8(void *comm, void *data, int size_bytes, int type,
		     void **mhandle)
{
	return net_v8->reg_mr(comm, data, (size_t)size_bytes, type, mhandle);
}

const struct netplugin_v8 *drive_load_v8(const char *variable)
{
	static struct netplugin_v7 net;

	net_v8 = dlsym(load(variable), NETPLUGIN_SYMBOL_V8);
	CHECK(net_v8);
	net = (struct netplugin_v7){
		.listen = net_v8->listen,
		.connect = net_v8->connect,
		.accept = net_v8->accept,
		.reg_mr = reg_mr_v8,
		.dereg_mr = net_v8->dereg_mr,
		.isend = net_v8->isend,
		.irecv = net_v8->irecv,
		.test = net_v8->test,
		.close_send = net_v8->close_send,
		.close_recv = net_v8->close_recv,
		.close_listen = net_v8->close_listen,
		.irecv_consumed = net_v8->irecv_consumed,
	};
	drive_net = &net;
	CHECK_EQ(net_v8->init(drive_log), 0);
	return net_v8;
}

void drive_open(void)
{
	void *object = load("TEST_DOUBLE");

	drive_net = dlsym(object, NETPLUGIN_SYMBOL_V7);
	*(void **)&drive_hits = dlsym(object, "double_hits");
	*(void **)&drive_set_device = dlsym(object, "double_set_device");
	*(void **)&drive_pages = dlsym(object, "double_pages");
	CHECK(drive_net && drive_hits && drive_set_device && drive_pages);
}

void drive_load(void)
{
	drive_open();
	CHECK_EQ(drive_net->init(drive_log), 0);
}

void drive_load_faithful(void)
{
	setenv("DOUBLE_MODE", "faithful", 1);
	drive_load();
}

void drive_listen(struct drive_pair *pair, int dev)
{
	memset(pair, 0, sizeof(*pair));
	pair->recv_handle = &pair->device_handle;
	CHECK_EQ(drive_net->listen(dev, pair->handle, &pair->lcomm), 0);
	CHECK(pair->lcomm);
}

int drive_accept(struct drive_pair *pair, int ms)
{
	uint64_t end_ns = test_now_ns() + (uint64_t)ms * 1000000u;
	int rc;

	do {
		rc = drive_net->accept(pair->lcomm, &pair->rx.comm,
				       &pair->recv_handle);
		test_sleep_ms(1);
	} while (!rc && !pair->rx.comm && test_now_ns() < end_ns);
	return rc;
}

int drive_poll_connect(struct drive_pair *pair, int dev, int ms)
{
	uint64_t end_ns = test_now_ns() + (uint64_t)ms * 1000000u;
	int rc;

	do {
		rc = drive_net->connect(dev, pair->handle, &pair->tx.comm,
					NULL);
		test_sleep_ms(1);
	} while (!rc && !pair->tx.comm && test_now_ns() < end_ns);
	return rc;
}

void drive_register(struct drive_end *end)
{
	end->data = mmap(NULL, DRIVE_BUFFER_BYTES, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(end->data != MAP_FAILED);
	CHECK_EQ(drive_net->reg_mr(end->comm, end->data, DRIVE_BUFFER_BYTES,
				   NETPLUGIN_PTR_CUDA, &end->mhandle),
		 0);
}

static void read_device_handle(struct drive_pair *pair)
{
	struct netplugin_unpack_handle bytes;

	CHECK_EQ(pair->device_handle.type, NETPLUGIN_DEVICE_UNPACK);
	CHECK_EQ(pair->device_handle.version, NETPLUGIN_UNPACK_VERSION);
	CHECK_EQ(pair->device_handle.size_bytes, sizeof(bytes));
	memcpy(&bytes, pair->device_handle.handle, sizeof(bytes));
	pair->meta = bytes.meta;
	pair->bounce = bytes.bounce;
}

void drive_connect(struct drive_pair *pair, int dev)
{
	int ms = scale_ms(WAIT_MS);

	drive_listen(pair, dev);
	/* Both polled: neither can finish alone. */
	for (int i = 0; i < ms && (!pair->tx.comm || !pair->rx.comm); i++) {
		if (!pair->tx.comm)
			CHECK_EQ(drive_poll_connect(pair, dev, 0), 0);
		if (!pair->rx.comm)
			CHECK_EQ(drive_accept(pair, 0), 0);
	}
	CHECK(pair->tx.comm && pair->rx.comm);
	if (pair->recv_handle)
		read_device_handle(pair);
	drive_register(&pair->tx);
	drive_register(&pair->rx);
}

static void close_end(struct drive_end *end)
{
	CHECK_EQ(drive_net->dereg_mr(end->comm, end->mhandle), 0);
	munmap(end->data, DRIVE_BUFFER_BYTES);
}

void drive_close(struct drive_pair *pair)
{
	close_end(&pair->tx);
	close_end(&pair->rx);
	CHECK_EQ(drive_net->close_send(pair->tx.comm), 0);
	CHECK_EQ(drive_net->close_recv(pair->rx.comm), 0);
	CHECK_EQ(drive_net->close_listen(pair->lcomm), 0);
}

void *drive_isend(struct drive_pair *pair, uint32_t off, int len_bytes)
{
	void *request = NULL;

	CHECK_EQ(drive_net->isend(pair->tx.comm, pair->tx.data + off, len_bytes,
				  0, pair->tx.mhandle, &request),
		 0);
	CHECK(request);
	return request;
}

void *drive_irecv(struct drive_pair *pair, int len_bytes)
{
	void *request = NULL, *data = pair->rx.data;
	int tag = 0;

	CHECK_EQ(drive_net->irecv(pair->rx.comm, 1, &data, &len_bytes, &tag,
				  &pair->rx.mhandle, &request),
		 0);
	CHECK(request);
	pair->n_posted++;
	return request;
}

bool drive_test(void *request)
{
	int done = -1;

	CHECK_EQ(drive_net->test(request, &done, NULL), 0);
	return done;
}

void drive_wait(void *request)
{
	drive_wait_both(request, NULL);
}

void drive_wait_both(void *a, void *b)
{
	uint64_t end_ns =
		test_now_ns() + (uint64_t)scale_ms(WAIT_MS) * 1000000u;

	while (a || b) {
		if (a && drive_test(a))
			a = NULL;
		if (b && drive_test(b))
			b = NULL;
		CHECK(test_now_ns() < end_ns);
	}
}

void drive_consumed(struct drive_pair *pair, void *request)
{
	CHECK_EQ(drive_net->irecv_consumed(pair->rx.comm, 1, request), 0);
}

uint64_t drive_unpack(struct drive_pair *pair, unsigned slot, uint8_t *out,
		      uint64_t cap_bytes)
{
	const struct netplugin_unpack_entry *e = pair->meta->entries[slot];
	uint64_t count = pair->meta->counts[slot], sum = 0;

	CHECK(count <= NETPLUGIN_UNPACK_ENTRIES);
	for (uint64_t i = 0; i < count; i++) {
		CHECK(e[i].len_bytes > 0);
		CHECK(e[i].dst_off + e[i].len_bytes <= cap_bytes);
		memcpy(out + e[i].dst_off, pair->bounce + e[i].src_off,
		       e[i].len_bytes);
		sum += e[i].len_bytes;
	}
	return sum;
}

void drive_message(struct drive_pair *pair, int len_bytes, uint64_t seed)
{
	size_t len = (size_t)len_bytes;
	unsigned slot = pair->n_posted % NETPLUGIN_UNPACK_SLOTS;
	uint8_t *out = calloc(1, len + 1), *want = calloc(1, len + 1);
	void *rx = drive_irecv(pair, len_bytes), *tx;

	CHECK(out && want);
	pattern_fill(want, len, seed, 0);
	memcpy(pair->tx.data, want, len);
	tx = drive_isend(pair, 0, len_bytes);
	drive_wait_both(tx, rx);
	CHECK_EQ(drive_unpack(pair, slot, out, len), len);
	CHECK_MEM(out, want, len);
	drive_consumed(pair, rx);
	free(out);
	free(want);
}

int drive_child(void (*fn)(void), char *text, size_t cap_bytes)
{
	size_t have = 0;
	int fds[2], status;
	ssize_t n;
	pid_t pid;

	CHECK_EQ(pipe(fds), 0);
	fflush(NULL);
	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(fds[1], 2);
		close(fds[0]);
		close(fds[1]);
		fn();
		_exit(0);
	}
	close(fds[1]);
	while (have < cap_bytes - 1 &&
	       (n = read(fds[0], text + have, cap_bytes - 1 - have)) > 0)
		have += (size_t)n;
	text[have] = '\0';
	close(fds[0]);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	fputs(text, stderr);
	return status;
}

void drive_must_abort(void (*fn)(void), int rule)
{
	char text[65536], want[32];
	int status = drive_child(fn, text, sizeof(text));

	snprintf(want, sizeof(want), "double: rule %d:", rule);
	CHECK(strstr(text, want));
	CHECK(WIFSIGNALED(status));
	CHECK_EQ(WTERMSIG(status), SIGABRT);
}

void drive_must_exit(void (*fn)(void), const char *words)
{
	char text[65536];
	int status = drive_child(fn, text, sizeof(text));

	CHECK(strstr(text, words));
	CHECK(WIFEXITED(status));
	CHECK_EQ(WEXITSTATUS(status), 1);
}

void drive_must_die(void (*fn)(void), int number)
{
	char text[65536];
	int status = drive_child(fn, text, sizeof(text));

	CHECK(WIFSIGNALED(status));
	CHECK_EQ(WTERMSIG(status), number);
}
