/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/netplugin/comm.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/sigpipe.h"

/* A receiver goes on for so many tests when it hears that the peer is gone:
 * what is complete is still delivered. */
#define EOF_TESTS 32u

static struct comm_request *request_at(struct comm *comm, uint64_t k)
{
	return &comm->ring[k % COMM_RING];
}

void comm_fail(struct comm *comm, int status, const char *fmt, ...)
{
	va_list args;

	if (comm->status)
		return;
	comm->status = status;
	va_start(args, fmt);
	vsnprintf(comm->cause, sizeof(comm->cause), fmt, args);
	va_end(args);
}

/* Only of calls whose success was certain as far as we count. */
static int call_failed(struct comm *comm, const char *call, int result)
{
	comm_fail(comm, TCPX_ECHANNEL, "%s of %s: %s", call, comm->plugin->name,
		  plugin_result_name(result));
	return TCPX_EAGAIN;
}

/* ---- posting ----------------------------------------------------------- */

static void posted(struct comm *comm, const struct comm_request *request)
{
	if (comm->posted == comm->done)
		comm->moved_ns = clock_coarse_ns();
	*request_at(comm, comm->posted++) = *request;
}

int comm_send(struct comm *comm, void *mem, bool on_host, uint32_t len_bytes,
	      uint64_t cookie)
{
	struct comm_request r = {
		.cookie = cookie, .len_bytes = len_bytes, .mem = mem};

	if (comm->status || comm->posted - comm->done >= comm->window)
		return TCPX_EAGAIN;
	bool restore = sigpipe_enter();
	int rc = comm->plugin->calls.isend(
		comm->handle, mem, (int)len_bytes, 0,
		on_host ? comm->host_mhandle : comm->mhandle, &r.request);
	sigpipe_leave(restore);
	if (rc)
		return call_failed(comm, "isend", rc);
	if (!r.request)
		return TCPX_EAGAIN;
	posted(comm, &r);
	return TCPX_OK;
}

int comm_recv(struct comm *comm, uint64_t cookie)
{
	struct comm_request r = {.cookie = cookie};
	int size = (int)comm->chunk_bytes, tag = 0;

	if (comm->status || comm->posted - comm->consumed >= comm->window)
		return TCPX_EAGAIN;
	r.mem = comm->unpacks ? comm->mem :
				comm->mem + comm->posted % comm->window *
						    comm->chunk_bytes;
	void *data = r.mem;
	bool restore = sigpipe_enter();
	int rc = comm->plugin->calls.irecv(comm->handle, 1, &data, &size, &tag,
					   &comm->mhandle, &r.request);
	sigpipe_leave(restore);
	if (rc)
		return call_failed(comm, "irecv", rc);
	if (!r.request)
		return TCPX_EAGAIN;
	posted(comm, &r);
	return TCPX_OK;
}

/* ---- harvesting -------------------------------------------------------- */

static bool unpack(struct comm *comm, struct comm_request *r, uint64_t k)
{
	struct transport_fragment *fragments =
		&comm->fragments[k % COMM_RING * NETPLUGIN_UNPACK_ENTRIES];
	char why[128];
	int err = comm_unpack_list(comm, k % NETPLUGIN_UNPACK_SLOTS, fragments,
				   &r->n_fragments, &r->len_bytes, why,
				   sizeof(why));

	if (err)
		comm_fail(comm, err, "%s", why);
	return !err;
}

/* Into a slot of ours: one fragment, made in place of the list. */
static bool take_plain(struct comm *comm, struct comm_request *r, uint64_t k,
		       int size)
{
	struct transport_fragment *whole = &comm->fragments[k % COMM_RING];

	if (size < 0 || (uint32_t)size > comm->chunk_bytes) {
		comm_fail(comm, TCPX_EPROTO,
			  "received %d bytes in a chunk of "
			  "at most %u",
			  size, comm->chunk_bytes);
		return false;
	}
	r->len_bytes = (uint32_t)size;
	r->n_fragments = size > 0;
	*whole = (struct transport_fragment){0, 0, r->len_bytes};
	return true;
}

/* Whether the bytes are visible already; else the request has become that of
 * the flush. */
static bool flushed(struct comm *comm, struct comm_request *r)
{
	void *data = r->mem;
	int size = (int)r->len_bytes;

	if (!comm->flushes || r->flushing || !size)
		return true;
	r->request = NULL;
	int rc = comm->plugin->calls.iflush(comm->handle, 1, &data, &size,
					    &comm->mhandle, &r->request);
	if (rc)
		call_failed(comm, "iflush", rc);
	r->flushing = !rc && r->request;
	return !rc && !r->request;
}

static void test_failed(struct comm *comm, int rc)
{
	if (rc != NETPLUGIN_ESYSTEM && rc != NETPLUGIN_EREMOTE) {
		call_failed(comm, "test", rc);
		return;
	}
	if (!comm->sends && comm->n_eof++ < EOF_TESTS)
		return;
	comm_fail(comm, TCPX_ECLOSED, "the plugin says that the peer is gone");
}

/* Whether request k, the oldest not done, is done now. */
static bool test(struct comm *comm, uint64_t k)
{
	struct comm_request *r = request_at(comm, k);
	int done = 0, size = 0;
	int rc = comm->plugin->calls.test(r->request, &done, &size);

	comm->tests++;
	if (rc) {
		test_failed(comm, rc);
		return false;
	}
	if (!done)
		return false;
	if (comm->sends || r->flushing)
		return true;
	if (comm->unpacks)
		return unpack(comm, r, k);
	return take_plain(comm, r, k, size) && flushed(comm, r);
}

static void describe(struct comm *comm, uint64_t k, struct channel_event *event)
{
	const struct comm_request *r = request_at(comm, k);
	uint32_t at = k % COMM_RING;

	*event = (struct channel_event){.cookie = r->cookie};
	if (comm->sends) {
		event->kind = CHANNEL_SENT;
		return;
	}
	event->kind = CHANNEL_ARRIVED;
	event->base = comm->unpacks ? comm->bounce : r->mem;
	event->n_fragments = r->n_fragments;
	event->fragments =
		&comm->fragments[comm->unpacks ? at * NETPLUGIN_UNPACK_ENTRIES :
						 at];
}

/* A sender's oldest request, and a receiver's when the other end says that it
 * has sent it, must be done some day: helper threads of plugins die without a
 * word. */
static void watch(struct comm *comm)
{
	bool waits = comm->sends ? comm->posted > comm->done :
				   comm->posted > comm->done &&
					   comm->expected > comm->done;
	uint64_t now = clock_coarse_ns();

	if (!waits || now - comm->moved_ns < comm->stall_ns)
		return;
	comm_fail(comm, TCPX_ECHANNEL,
		  "no progress of chunk %llu within %llu ms: the plugin has "
		  "lost it, or its pool is empty",
		  (unsigned long long)comm->done,
		  (unsigned long long)(comm->stall_ns / NS_PER_MS));
}

/* A receiver's window is posted while nothing comes, for hours: it waits only
 * from the moment when it hears that something is on its way. */
void comm_expect(struct comm *comm, uint64_t n_chunks)
{
	if (comm->expected <= comm->done && n_chunks > comm->done)
		comm->moved_ns = clock_coarse_ns();
	comm->expected = n_chunks;
}

int comm_harvest(struct comm *comm, struct channel_event *events, int max)
{
	int n = 0;

	if (comm->status || comm->posted == comm->done)
		return 0;
	bool restore = sigpipe_enter();
	while (n < max && comm->done < comm->posted && test(comm, comm->done)) {
		describe(comm, comm->done, &events[n++]);
		comm->bytes += request_at(comm, comm->done)->len_bytes;
		comm->done++;
	}
	sigpipe_leave(restore);
	if (n)
		comm->moved_ns = clock_coarse_ns();
	else
		watch(comm);
	return n;
}

/* ---- giving back ------------------------------------------------------- */

int comm_consume(struct comm *comm, uint64_t cookie)
{
	struct comm_request *r = request_at(comm, comm->consumed);

	if (comm->consumed == comm->done || r->cookie != cookie)
		return TCPX_EINVAL;
	if (comm->plugin->calls.irecv_consumed && comm->unpacks &&
	    !comm->status) {
		bool restore = sigpipe_enter();
		int rc = comm->plugin->calls.irecv_consumed(comm->handle, 1,
							    r->request);
		sigpipe_leave(restore);
		if (rc)
			call_failed(comm, "irecvConsumed", rc);
	}
	comm->consumed++;
	return TCPX_OK;
}

void comm_drain(struct comm *comm)
{
	while (!comm->sends && comm->consumed < comm->done &&
	       !comm_consume(comm, request_at(comm, comm->consumed)->cookie))
		;
}
