/* SPDX-License-Identifier: Apache-2.0 */
#include "job.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "comm.h"
#include "conf.h"
#include "fault.h"
#include "nic.h"
#include "rules.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct job *all; /* covered by the lock */

struct job *job_new(const void *owner, struct comm *comm)
{
	struct job *job = calloc(1, sizeof(*job));
	struct dice dice = {conf_get()->seed + (uint64_t)comm->index};

	if (!job)
		rules_exit("calloc failed");
	job->owner = owner;
	job->comm = comm;
	job->min_calls = conf_get()->clock == CLOCK_RANDOM ?
				 dice_range(&dice, 2, 20) :
				 2;
	pthread_mutex_lock(&lock);
	job->next = all;
	all = job;
	pthread_mutex_unlock(&lock);
	return job;
}

struct job *job_find(const void *address)
{
	struct job *job;

	pthread_mutex_lock(&lock);
	for (job = all; job && job != address; job = job->next)
		;
	pthread_mutex_unlock(&lock);
	return job;
}

struct job *job_of_nonce(uint64_t nonce)
{
	struct job *job;

	pthread_mutex_lock(&lock);
	for (job = all; job && job->handle.nonce != nonce; job = job->next)
		;
	pthread_mutex_unlock(&lock);
	return job;
}

static void set_up(int fd)
{
	int on = 1, bytes = 4 << 20;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
}

/* Nobody listens, and the socket's own port happened to be the one. */
static bool is_self(int fd, uint16_t port)
{
	struct sockaddr_in here;
	socklen_t len = sizeof(here);

	return getsockname(fd, (struct sockaddr *)&here, &len) == 0 &&
	       here.sin_port == port;
}

static bool join(int fd, const struct sockaddr_in *local,
		 const struct sockaddr_in *peer)
{
	if (bind(fd, (const struct sockaddr *)local, sizeof(*local)) < 0 ||
	    connect(fd, (const struct sockaddr *)peer, sizeof(*peer)) < 0)
		return false;
	errno = ECONNREFUSED;
	return !is_self(fd, peer->sin_port);
}

/* Refused is tried again; anything else is not. */
static int dial(struct in_addr from, struct in_addr to, uint16_t port)
{
	int n_tries = conf_get()->clock == CLOCK_REAL ? 20000 : 500;
	struct sockaddr_in local = {.sin_family = AF_INET, .sin_addr = from};
	struct sockaddr_in peer = {
		.sin_family = AF_INET, .sin_addr = to, .sin_port = port};

	for (int i = 0; i < n_tries * conf_get()->n_retries; i++) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

		if (fd < 0)
			return -1;
		if (join(fd, &local, &peer)) {
			set_up(fd);
			return fd;
		}
		close(fd);
		if (errno != ECONNREFUSED)
			return -1;
		rules_sleep_us(1000);
	}
	return -1;
}

static int pause_of_socket(void)
{
	if (conf_get()->clock == CLOCK_REAL)
		rules_sleep_us(100000);
	return 0;
}

static void stall(const char *slow, const char *never, int comm)
{
	int64_t ms;

	if (fault_wanted(slow, comm, &ms))
		rules_sleep_us(ms * 1000);
	if (fault_wanted(never, comm, &ms)) {
		for (;;)
			pause();
	}
}

static bool read_state(int fd)
{
	uint32_t state;

	return recv(fd, &state, sizeof(state), MSG_WAITALL) == sizeof(state);
}

static bool write_state(int fd)
{
	uint32_t state = 1;

	return send(fd, &state, sizeof(state), 0) == sizeof(state);
}

static int run_connect(struct job *job)
{
	struct comm *comm = job->comm;
	const struct handle *h = &job->handle;

	stall("connect_slow", "connect_never", comm->index);
	pause_of_socket();
	comm->ctrl_fd =
		dial(nic_control(comm->dev), h->ctrl_addr, h->ctrl_port);
	if (comm->ctrl_fd < 0 || !read_state(comm->ctrl_fd))
		return NETPLUGIN_EINTERNAL;
	for (int i = comm->n_socks - 1; i >= 0; i--) {
		pause_of_socket();
		comm->socks[i].fd = dial(nic_get(comm->dev)->addr, h->data_addr,
					 h->data_port);
		/* The receiver's rule is there when its answer is. */
		if (comm->socks[i].fd < 0 || !read_state(comm->ctrl_fd))
			return NETPLUGIN_EINTERNAL;
	}
	return 0;
}

static int answer_one(int listen_fd, struct sockaddr_in *peer)
{
	socklen_t len = sizeof(*peer);
	int fd =
		accept4(listen_fd, (struct sockaddr *)peer, &len, SOCK_CLOEXEC);

	if (fd >= 0)
		set_up(fd);
	return fd;
}

/* Bytes that came before the flow was steered went to the host's queue. */
static void check_early(struct comm *comm)
{
	int n_bytes = 0;

	for (int i = 0; i < comm->n_socks; i++) {
		if (ioctl(comm->socks[i].fd, FIONREAD, &n_bytes) == 0 &&
		    n_bytes > 0 && conf_get()->strict) {
			rules_broken(4, "data came before accept had "
					"finished: no cmsg");
			break;
		}
	}
}

static int run_accept(struct job *job)
{
	struct comm *comm = job->comm;
	struct sockaddr_in peer;

	stall("accept_slow", "accept_never", comm->index);
	comm->ctrl_fd = answer_one(job->ctrl_fd, &peer);
	if (comm->ctrl_fd < 0 || !write_state(comm->ctrl_fd))
		return NETPLUGIN_EINTERNAL;
	if (conf_get()->loopback_refused && nic_is_local(peer.sin_addr))
		comm->unsteered = true;
	for (int i = comm->n_socks - 1; i >= 0; i--) {
		pause_of_socket();
		comm->socks[i].fd = answer_one(job->data_fd, &peer);
		if (comm->socks[i].fd < 0 || !write_state(comm->ctrl_fd))
			return NETPLUGIN_EINTERNAL;
	}
	rules_sleep_us(conf_get()->steer_wait_us);
	check_early(comm);
	return 0;
}

static void finish(struct job *job, int result)
{
	job->result = result;
	rules_info("comm %d: connection thread ends with %d", job->comm->index,
		   result);
	atomic_store(&job->state, JOB_DONE);
}

static void *connect_thread(void *arg)
{
	finish(arg, run_connect(arg));
	return NULL;
}

static void *accept_thread(void *arg)
{
	finish(arg, run_accept(arg));
	return NULL;
}

static void start(struct job *job, void *(*fn)(void *))
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, fn, job)) {
		finish(job, NETPLUGIN_ESYSTEM);
		return;
	}
	pthread_detach(thread);
}

void job_start_connect(struct job *job)
{
	start(job, connect_thread);
}

void job_start_accept(struct job *job)
{
	start(job, accept_thread);
}
