/* SPDX-License-Identifier: Apache-2.0 */
#include "setup.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "comm.h"
#include "conf.h"
#include "fault.h"
#include "job.h"
#include "memory.h"
#include "nic.h"
#include "rules.h"

struct listen {
	struct listen *next; /* of all, for ever */
	int dev;
	int device; /* GPU that was current */
	int data_fd, ctrl_fd;
	struct job *job; /* of its one accept */
	bool is_closed;
};

static struct listen *all;

static int open_port(struct in_addr addr, uint16_t *port)
{
	struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr = addr};
	socklen_t len = sizeof(here);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	if (bind(fd, (struct sockaddr *)&here, sizeof(here)) < 0 ||
	    listen(fd, MAX_SOCKS) < 0 ||
	    getsockname(fd, (struct sockaddr *)&here, &len) < 0) {
		close(fd);
		return -1;
	}
	*port = here.sin_port;
	return fd;
}

static int n_socks(void)
{
	const struct conf *conf = conf_get();
	int n = conf->n_threads * conf->socks_per_thread;

	if (conf->n_threads > MAX_SOCKS)
		return 0; /* sockets a thread: 8 / 9 */
	return n < MAX_SOCKS ? n : MAX_SOCKS;
}

static int do_listen(int dev, void *out, void **lcomm)
{
	struct listen *l = calloc(1, sizeof(*l));
	struct handle h = {0};

	if (!l)
		return NETPLUGIN_ESYSTEM;
	l->dev = dev;
	l->device = memory_current();
	h.data_addr = nic_get(dev)->addr;
	h.ctrl_addr = nic_control(dev);
	h.n_socks = (uint8_t)n_socks();
	h.n_threads = (uint8_t)conf_get()->n_threads;
	h.recv_sync = conf_get()->recv_sync;
	l->data_fd = open_port(h.data_addr, &h.data_port);
	l->ctrl_fd = open_port(h.ctrl_addr, &h.ctrl_port);
	if (l->data_fd < 0 || l->ctrl_fd < 0 ||
	    getrandom(&h.nonce, sizeof(h.nonce), 0) != sizeof(h.nonce)) {
		free(l);
		return NETPLUGIN_ESYSTEM;
	}
	memcpy(out, &h, sizeof(h));
	do
		l->next = __atomic_load_n(&all, __ATOMIC_ACQUIRE);
	while (!__atomic_compare_exchange_n(
		&all, &l->next, l, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE));
	*lcomm = l;
	return 0;
}

int setup_listen(int dev, void *handle, void **lcomm)
{
	int rc = fault_call("listen");

	if (rc)
		return rc;
	if (dev < 0 || dev >= nic_count()) {
		rules_broken(1, "listen on device %d of %d", dev, nic_count());
		return NETPLUGIN_EINTERNAL;
	}
	rules_control_begin("listen");
	rc = do_listen(dev, handle, lcomm);
	rules_control_end();
	return rc;
}

/* The comm of a job that is over, once; NULL while it runs. */
static int poll_job(struct job *job, void **comm)
{
	*comm = NULL;
	if (atomic_load(&job->state) != JOB_DONE ||
	    ++job->n_calls < job->min_calls)
		return 0;
	job->is_taken = true;
	if (job->result)
		return job->result;
	comm_make_staging(job->comm);
	*comm = job->comm;
	return 0;
}

static void begin_connect(int dev, void *handle, const struct handle *h)
{
	struct comm *comm = comm_new(true, dev, memory_current());
	struct job *job = job_new(handle, comm);

	comm->n_socks = h->n_socks;
	comm->n_threads = h->n_threads;
	comm->job = job;
	job->handle = *h;
	memcpy((uint8_t *)handle + offsetof(struct handle, job), &job,
	       sizeof(job));
	if (conf_get()->recv_sync && !h->recv_sync)
		rules_broken(23, "RECV_SYNC here and not at the receiver");
	job_start_connect(job);
}

/* The job whose address is in the handle, which must be the caller's. */
static struct job *known_job(void *handle, const struct handle *h)
{
	struct job *job = job_find(h->job);

	if (!job) {
		rules_broken(3, "byte 80 of the handle was overwritten");
		rules_crash();
	}
	if (job->is_taken) {
		rules_broken(3, "connect again after it was done: its job is "
				"freed");
		rules_crash();
	}
	if (job->owner != handle)
		rules_broken(3, "connect polled with a copy of its handle");
	return job;
}

static int do_connect(int dev, void *handle, void **scomm)
{
	struct handle h;
	struct job *job;

	memcpy(&h, handle, sizeof(h));
	*scomm = NULL;
	if (h.job)
		return poll_job(known_job(handle, &h), scomm);
	if (job_of_nonce(h.nonce))
		rules_broken(3, "a second connect to one listen comm, or a "
				"copy made before the first call");
	begin_connect(dev, handle, &h);
	if (conf_get()->early_comm) {
		memcpy(&h, handle, sizeof(h));
		job = job_find(h.job);
		job->is_taken = true;
		comm_make_staging(job->comm);
		*scomm = job->comm;
	}
	return 0;
}

int setup_connect(int dev, void *handle, void **scomm,
		  struct netplugin_device_handle **send_handle)
{
	int rc = fault_call("connect");

	if (rc)
		return rc;
	if (dev < 0 || dev >= nic_count()) {
		rules_broken(1, "connect on device %d of %d", dev, nic_count());
		return NETPLUGIN_EINTERNAL;
	}
	rules_control_begin("connect");
	rc = do_connect(dev, handle, scomm);
	rules_control_end();
	return rc;
}

bool setup_is_connected(struct comm *comm)
{
	struct job *job = comm->job;

	if (!job || (atomic_load(&job->state) == JOB_DONE && !job->result))
		return true;
	if (!conf_get()->spinwait)
		return false;
	/* For ever, if the thread has failed: nobody says so. */
	while (atomic_load(&job->state) != JOB_DONE || job->result) {
		if (atomic_load(&job->state) == JOB_DONE)
			rules_broken(3, "isend on a comm whose connect "
					"failed: it never returns");
		rules_sleep_us(50);
	}
	return true;
}

static void begin_accept(struct listen *l)
{
	int device = memory_current();
	struct comm *comm = comm_new(false, l->dev, device);

	if (device < 0 || device != l->device)
		rules_broken(7, "accept with GPU %d current, listen had %d",
			     device, l->device);
	comm->n_socks = n_socks();
	comm->n_threads = conf_get()->n_threads;
	comm->unsteered = !nic_is_home(l->dev, device);
	l->job = job_new(l, comm);
	l->job->data_fd = l->data_fd;
	l->job->ctrl_fd = l->ctrl_fd;
	job_start_accept(l->job);
}

/* What the GPU is told: where the lists are, and the pool. */
static void make_queue(struct comm *comm)
{
	const struct double_memory *memory = memory_get();
	struct netplugin_unpack_handle bytes;

	comm->meta = memory->alloc_mapped(comm->device, sizeof(*comm->meta));
	comm->device_handle =
		memory->alloc(comm->device, sizeof(*comm->device_handle));
	if (!comm->meta || !comm->device_handle)
		rules_exit("calloc failed");
	memset(comm->meta, 0, sizeof(*comm->meta));
	bytes = (struct netplugin_unpack_handle){
		comm->meta, pool_base(comm->pool), UINT64_MAX};
	if (memory->copy(comm->device, comm->device_handle, &bytes,
			 sizeof(bytes)))
		rules_exit("CUDA call failed");
	comm->has_queue = true;
}

static void fill_device_handle(struct comm *comm,
			       struct netplugin_device_handle **out)
{
	comm->pool = pool_get(comm->device);
	if (!out)
		return; /* found out at the first receive */
	if (!*out) {
		rules_broken(6, "accept got the address of a NULL device "
				"handle");
		rules_crash();
	}
	if ((uintptr_t)*out % 8)
		rules_broken(6, "a device handle that is not aligned");
	make_queue(comm);
	**out = (struct netplugin_device_handle){
		.type = NETPLUGIN_DEVICE_UNPACK,
		.version = NETPLUGIN_UNPACK_VERSION,
		.handle = comm->device_handle,
		.size_bytes = sizeof(*comm->device_handle),
		.needs_proxy_progress = 1,
	};
}

static int do_accept(struct listen *l, void **rcomm,
		     struct netplugin_device_handle **recv_handle)
{
	int rc;

	*rcomm = NULL;
	if (l->is_closed) {
		rules_broken(5, "accept on a closed listen comm");
		rules_crash();
	}
	if (!l->job)
		begin_accept(l);
	if (l->job->is_taken) {
		rules_broken(5, "a second accept on a listen comm");
		rules_crash();
	}
	rc = poll_job(l->job, rcomm);
	if (!rc && *rcomm)
		fill_device_handle(*rcomm, recv_handle);
	return rc;
}

int setup_accept(void *lcomm, void **rcomm,
		 struct netplugin_device_handle **recv_handle)
{
	int rc = fault_call("accept");

	if (rc)
		return rc;
	rules_control_begin("accept");
	rc = do_accept(lcomm, rcomm, recv_handle);
	rules_control_end();
	return rc;
}

int setup_close_listen(void *lcomm)
{
	struct listen *l = lcomm;
	int rc = fault_call("close_listen");

	if (rc)
		return rc;
	rules_control_begin("close_listen");
	if (l->is_closed)
		rules_broken(5, "close_listen twice");
	if (l->job && !l->job->is_taken) {
		rules_broken(5, "close_listen while its accept runs");
		rules_crash();
	}
	l->is_closed = true;
	close(l->data_fd);
	close(l->ctrl_fd);
	rules_control_end();
	return 0; /* kept: a stale pointer is known */
}
