/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A second plugin, of the plain kind: it exports v8 only, knows host memory
 * only, and delivers at the address that was posted, with the size in test().
 * One TCP connection a comm; each message is its length and its bytes. Up to
 * 32 requests, done in order; test() moves everything. It ends its process
 * where a script (DOUBLE_FAULTS) or a NIC that is not at home says so.
 */

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "conf.h"
#include "fault.h"
#include "nic.h"
#include "rules.h"
#include "transport/netplugin/abi.h"

#define EXPORT __attribute__((visibility("default")))
#define MAX_REQUESTS 32u
#define HEADER_BYTES sizeof(uint32_t)

struct comm;

struct request {
	struct comm *comm;
	uint8_t *data;
	uint32_t size_bytes;
	uint32_t header; /* what is sent, or came */
	size_t moved_bytes; /* header included */
	bool done;
};

struct comm {
	int fd;
	bool is_send, is_home;
	unsigned posted, moved, freed; /* rings of requests */
	struct request ring[MAX_REQUESTS];
};

struct handle {
	struct sockaddr_in addr;
	struct comm *connecting; /* of connect(), while it is polled */
};

struct listen {
	int fd;
	int dev;
};

static int init(netplugin_log_fn log)
{
	int rc = fault_call("init");

	rules_set_log(log);
	if (!rc && nic_find() == 0)
		rc = NETPLUGIN_EINTERNAL;
	if (!rc)
		rules_log_odd();
	return rc;
}

static int devices(int *n_devices)
{
	*n_devices = nic_count();
	return fault_call("devices");
}

static int get_properties(int dev, struct netplugin_props_v8 *props)
{
	const struct nic *nic = nic_get(dev);

	*props = (struct netplugin_props_v8){
		.name = (char *)nic->name,
		.pci_path = nic->pci_path,
		.guid = (uint64_t)dev,
		.ptr_support = NETPLUGIN_PTR_HOST,
		.speed_mbps = nic->speed_mbps,
		.latency_us = 10,
		.max_comms = 65536,
		.max_recvs = 1,
		.device_type = NETPLUGIN_DEVICE_HOST,
	};
	return fault_call("get_properties");
}

static int new_comm(int fd, bool is_send, bool is_home, void **out)
{
	struct comm *comm = calloc(1, sizeof(*comm));
	int on = 1;

	if (!comm) {
		close(fd);
		return NETPLUGIN_ESYSTEM;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	comm->fd = fd;
	comm->is_send = is_send;
	comm->is_home = is_home;
	*out = comm;
	return 0;
}

static int do_listen(int dev, void *handle, void **lcomm)
{
	struct handle h = {{.sin_family = AF_INET}, NULL};
	socklen_t len = sizeof(h.addr);
	struct listen *l = calloc(1, sizeof(*l));
	int rc = fault_call("listen");

	if (rc || !l)
		goto err_free;
	rc = NETPLUGIN_ESYSTEM;
	l->dev = dev;
	h.addr.sin_addr = nic_get(dev)->addr;
	l->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (l->fd < 0)
		goto err_free;
	if (bind(l->fd, (struct sockaddr *)&h.addr, sizeof(h.addr)) < 0 ||
	    listen(l->fd, 1) < 0 ||
	    getsockname(l->fd, (struct sockaddr *)&h.addr, &len) < 0)
		goto err_close;
	memcpy(handle, &h, sizeof(h));
	*lcomm = l;
	return 0;
err_close:
	close(l->fd);
err_free:
	free(l);
	return rc;
}

/* A TCP connection in progress is the comm that the handle remembers. */
static int do_connect(int dev, void *handle, void **scomm,
		      struct netplugin_device_handle **send_handle)
{
	struct handle h;
	int fd, rc = fault_call("connect");

	*scomm = NULL;
	if (rc)
		return rc;
	memcpy(&h, handle, sizeof(h));
	if (!h.connecting) {
		fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
			    0);
		rc = fd < 0 ? NETPLUGIN_ESYSTEM :
			      new_comm(fd, true, true, (void **)&h.connecting);
		memcpy(handle, &h, sizeof(h));
		if (rc)
			return rc;
	}
	if (connect(h.connecting->fd, (struct sockaddr *)&h.addr,
		    sizeof(h.addr)) == 0 ||
	    errno == EISCONN) {
		*scomm = h.connecting;
		return 0;
	}
	return errno == EINPROGRESS || errno == EALREADY ? 0 :
							   NETPLUGIN_EREMOTE;
}

static int do_accept(void *lcomm, void **rcomm,
		     struct netplugin_device_handle **recv_handle)
{
	struct listen *l = lcomm;
	int fd, rc = fault_call("accept");

	*rcomm = NULL;
	if (rc)
		return rc;
	fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0)
		return errno == EAGAIN ? 0 : NETPLUGIN_ESYSTEM;
	return new_comm(fd, false, nic_is_home(l->dev, 0), rcomm);
}

static int reg_mr(void *comm, void *data, size_t size_bytes, int type,
		  void **mhandle)
{
	int rc = fault_call("reg_mr");

	if (!rc && type != NETPLUGIN_PTR_HOST)
		rc = NETPLUGIN_EINTERNAL;
	*mhandle = data;
	return rc;
}

static int dereg_mr(void *comm, void *mhandle)
{
	return fault_call("dereg_mr");
}

static int post(struct comm *comm, void *data, int size_bytes, void **request)
{
	struct request *r = &comm->ring[comm->posted % MAX_REQUESTS];

	*request = NULL; /* full: later */
	if (comm->posted - comm->freed == MAX_REQUESTS)
		return 0;
	*r = (struct request){
		comm, data, (uint32_t)size_bytes, (uint32_t)size_bytes,
		0,    false};
	comm->posted++;
	*request = r;
	return 0;
}

static int isend(void *scomm, void *data, int size_bytes, int tag,
		 void *mhandle, void **request)
{
	int rc = fault_call("isend");

	return rc ? rc : post(scomm, data, size_bytes, request);
}

static int irecv(void *rcomm, int n, void **data, int *sizes_bytes, int *tags,
		 void **mhandles, void **request)
{
	int rc = fault_call("irecv");

	if (!rc && n != 1)
		rc = NETPLUGIN_EINTERNAL;
	return rc ? rc : post(rcomm, data[0], sizes_bytes[0], request);
}

static int iflush(void *rcomm, int n, void **data, int *sizes_bytes,
		  void **mhandles, void **request)
{
	*request = NULL;
	return fault_call("iflush");
}

static ssize_t move(struct comm *comm, void *data, size_t len_bytes)
{
	return comm->is_send ? send(comm->fd, data, len_bytes, MSG_NOSIGNAL) :
			       recv(comm->fd, data, len_bytes, 0);
}

/* 1: the request is over; 0: no more now; negative: the peer is gone. */
static int move_request(struct comm *comm, struct request *r)
{
	while (r->moved_bytes < HEADER_BYTES + r->header) {
		size_t at = r->moved_bytes;
		uint8_t *header = (uint8_t *)&r->header;
		ssize_t n = at < HEADER_BYTES ?
				    move(comm, header + at, HEADER_BYTES - at) :
				    move(comm, r->data + at - HEADER_BYTES,
					 r->header + HEADER_BYTES - at);

		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
			return -1;
		if (n < 0)
			return 0;
		r->moved_bytes += (size_t)n;
		fault_bytes((uint64_t)n);
		if (!comm->is_home)
			rules_exit("rx no cmsg");
		if (r->moved_bytes == HEADER_BYTES && r->header > r->size_bytes)
			return -1; /* truncated */
	}
	return 1;
}

static int test(void *request, int *done, int *sizes_bytes)
{
	struct request *r = request;
	struct comm *comm = r->comm;
	int rc = fault_call("test");

	*done = 0;
	if (rc)
		return rc;
	while (comm->moved != comm->posted) {
		struct request *next = &comm->ring[comm->moved % MAX_REQUESTS];

		rc = move_request(comm, next);
		if (rc < 0)
			return NETPLUGIN_EREMOTE;
		if (rc == 0)
			break;
		next->done = true;
		comm->moved++;
	}
	if (!r->done)
		return 0;
	comm->freed++;
	*done = 1;
	if (sizes_bytes)
		*sizes_bytes = (int)r->header;
	return 0;
}

static int close_comm(void *arg)
{
	struct comm *comm = arg;

	close(comm->fd);
	free(comm);
	return 0;
}

static int close_listen(void *lcomm)
{
	struct listen *l = lcomm;

	close(l->fd);
	free(l);
	return fault_call("close_listen");
}

extern const struct netplugin_v8 ncclNetPlugin_v8;

EXPORT const struct netplugin_v8 ncclNetPlugin_v8 = {
	.name = "HostDouble",
	.init = init,
	.devices = devices,
	.get_properties = get_properties,
	.listen = do_listen,
	.connect = do_connect,
	.accept = do_accept,
	.reg_mr = reg_mr,
	.dereg_mr = dereg_mr,
	.isend = isend,
	.irecv = irecv,
	.iflush = iflush,
	.test = test,
	.close_send = close_comm,
	.close_recv = close_comm,
	.close_listen = close_listen,
};
