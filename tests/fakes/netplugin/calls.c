/* SPDX-License-Identifier: Apache-2.0 */
#include "calls.h"

#include <stddef.h>
#include <unistd.h>

#include "comm.h"
#include "conf.h"
#include "fault.h"
#include "rules.h"

/* The n-th request of a comm, as its caller knows it. The numbers come round
 * after 4096, so that a request tested too late is told from its heir. */
static void *token_of(struct comm *comm, uint64_t n)
{
	return &comm->tokens[n % N_TOKENS];
}

/* The number that a token stands for: the one nearest to those in use. */
static uint64_t number_of(struct comm *comm, const struct token *token)
{
	uint64_t low = (uint64_t)(token - comm->tokens);
	uint64_t n = comm->posted - comm->posted % N_TOKENS + low;

	return n < comm->posted || n < N_TOKENS ? n : n - N_TOKENS;
}

static int post(struct comm *comm, void *data, int size_bytes, struct mr *mr,
		void **out)
{
	uint64_t oldest = comm->is_send ? comm->done : comm->consumed;
	struct request *r = &comm->ring[comm->posted % MAX_REQUESTS];
	int rc = mr_check(comm, mr, data, (size_t)size_bytes);

	if (rc) {
		rules_broken(9, "a request without a registration");
		return rc;
	}
	if (comm->posted - oldest == MAX_REQUESTS) {
		rules_broken(10,
			     "request %u of a comm: 16 are the limit, "
			     "done ones that are not consumed included",
			     MAX_REQUESTS + 1);
		rules_warn("unable to allocate requests");
		return NETPLUGIN_EINTERNAL;
	}
	*r = (struct request){
		.state = REQUEST_POSTED,
		.n = comm->posted,
		.mr = mr,
		.data = data,
		.posted_bytes = (uint32_t)size_bytes,
		.total_bytes = (uint32_t)size_bytes,
		.entries = r->entries,
		.pages = r->pages,
		.page_socks = r->page_socks,
	};
	if (comm->posted == comm->done)
		comm_touch(comm);
	mr->n_users++;
	*out = token_of(comm, comm->posted++);
	atomic_store(&comm->n_pending, (unsigned)(comm->posted - comm->done));
	return 0;
}

int calls_isend(void *scomm, void *data, int size_bytes, int tag, void *mhandle,
		void **request)
{
	struct comm *comm = scomm;
	int rc = fault_call("isend");

	if (rc)
		return rc;
	comm_enter(comm, "isend");
	if (!setup_is_connected(comm))
		*request = NULL;
	else
		rc = post(comm, data, size_bytes, mhandle, request);
	comm_leave(comm);
	return rc;
}

int calls_irecv(void *rcomm, int n, void **data, int *sizes_bytes, int *tags,
		void **mhandles, void **request)
{
	struct comm *comm = rcomm;
	int rc = fault_call("irecv");

	if (rc)
		return rc;
	comm_enter(comm, "irecv");
	if (n != 1) {
		rules_broken(10, "irecv of %d buffers: one is the limit", n);
		rc = NETPLUGIN_EINTERNAL;
	} else {
		rc = post(comm, data[0], sizes_bytes[0], mhandles[0], request);
	}
	comm_leave(comm);
	return rc;
}

int calls_iflush(void *rcomm, int n, void **data, int *sizes_bytes,
		 void **mhandles, void **request)
{
	int rc = fault_call("iflush");

	if (rc)
		return rc;
	if (!request || !*request) {
		rules_broken(24, "iflush without a request");
		rules_crash();
	}
	return 0;
}

/* The later comms are served first. */
static uint64_t worst_delay_ns(const struct comm *comm)
{
	uint64_t n = 0;

	for (struct comm *c = comm_first(); c; c = c->next)
		n += !atomic_load(&c->is_closed) &&
		     c->is_send == comm->is_send && c->index > comm->index;
	return n * (uint64_t)conf_get()->hold_us * 1000u;
}

/* Does the clock let this request be done? */
static bool is_time(struct comm *comm, struct request *r, uint64_t now_ns)
{
	const struct conf *conf = conf_get();

	if (conf->clock != CLOCK_RANDOM && conf->clock != CLOCK_WORST)
		return true;
	if (!r->ready_ns) {
		struct dice dice = {conf->seed * 31 + r->n * 977 +
				    (uint64_t)comm->index};

		r->ready_ns = now_ns;
		if (conf->clock == CLOCK_WORST)
			r->ready_ns += worst_delay_ns(comm);
		else
			r->ready_ns +=
				1000u *
				dice_range(&dice, 0, (uint32_t)conf->delay_us);
	}
	return now_ns >= r->ready_ns;
}

static void finish(struct comm *comm, struct request *r)
{
	if (comm->is_send) {
		r->state = REQUEST_FREE;
	} else {
		rx_publish(comm, r);
		r->state = REQUEST_ARRIVED;
	}
	r->mr->n_users--;
	comm->done++;
	atomic_store(&comm->n_pending, (unsigned)(comm->posted - comm->done));
}

static int test(struct comm *comm, uint64_t n, int *done)
{
	struct request *head = &comm->ring[comm->done % MAX_REQUESTS];
	uint64_t now_ns = rules_now_ns();
	int rc;

	comm_touch(comm);
	comm_tick(now_ns);
	if (n < comm->done)
		rules_broken(12, "test of a request that was done");
	else if (n != comm->done)
		rules_broken(12, "test of request %llu, the oldest is %llu",
			     (unsigned long long)n,
			     (unsigned long long)comm->done);
	rc = comm->is_send ? tx_progress(comm) : rx_progress(comm);
	if (rc)
		return rc;
	if (comm->done == comm->posted || head->state != REQUEST_TRANSMITTING)
		return 0;
	if (n != comm->done) {
		rules_warn("test of a request that is not the oldest");
		return NETPLUGIN_EINTERNAL;
	}
	if (head->done_bytes == head->total_bytes &&
	    is_time(comm, head, now_ns)) {
		finish(comm, head);
		*done = 1;
	}
	return 0;
}

int calls_test(void *request, int *done, int *sizes_bytes)
{
	const struct token *token = request;
	int rc = fault_call("test");

	if (rc)
		return rc;
	*done = 0;
	if (atomic_load(&token->comm->is_closed)) {
		rules_broken(12, "test of a request whose comm is closed");
		rules_crash();
	}
	comm_enter(token->comm, "test");
	rc = test(token->comm, number_of(token->comm, token), done);
	comm_leave(token->comm);
	return rc;
}

static void give_back(struct comm *comm, struct request *r)
{
	rx_give_back(comm, r);
	r->state = REQUEST_FREE;
	comm->consumed++;
}

static int consumed(struct comm *comm, uint64_t n)
{
	struct request *r = &comm->ring[n % MAX_REQUESTS];

	if (comm->is_send) {
		rules_broken(19, "irecv_consumed of a send");
		rules_warn("irecv_consumed of a send");
		return 0;
	}
	if (n >= comm->done || n < comm->consumed) {
		rules_broken(19, "irecv_consumed of a receive that is %s",
			     n < comm->done ? "consumed" : "not done");
		return NETPLUGIN_EINTERNAL;
	}
	if (n == comm->consumed && !comm->is_stuck) {
		give_back(comm, r);
		return 0;
	}
	if (r->total_bytes == 0 && !comm->is_stuck) {
		/* Taken from the list without a look: the first is lost. */
		rules_broken(14, "an empty receive consumed out of order");
		comm->is_stuck = true;
		return 0;
	}
	rules_broken(19, "irecv_consumed of receive %llu, the oldest is %llu",
		     (unsigned long long)n, (unsigned long long)comm->consumed);
	return NETPLUGIN_EINTERNAL;
}

int calls_irecv_consumed(void *rcomm, int n, void *request)
{
	struct comm *comm = rcomm;
	const struct token *token = request;
	int rc = fault_call("irecv_consumed");

	if (rc)
		return rc;
	comm_enter(comm, "irecv_consumed");
	if (n != 1 || !token || token->comm != comm) {
		rules_broken(19, "irecv_consumed of something else");
		rc = NETPLUGIN_EINTERNAL;
	} else {
		rc = consumed(comm, number_of(comm, token));
	}
	comm_leave(comm);
	return rc;
}

static int shut(struct comm *comm, const char *name)
{
	rules_control_begin(name);
	comm_enter(comm, name);
	if (comm->done != comm->consumed && !comm->is_send)
		rules_warn("comm %d closed with %llu receives not consumed",
			   comm->index,
			   (unsigned long long)(comm->done - comm->consumed));
	comm_shut(comm);
	rules_info("comm %d: closed after %llu requests, %llu bytes moved",
		   comm->index, (unsigned long long)comm->done,
		   (unsigned long long)comm->n_moved_bytes);
	atomic_store(&comm->is_closed, true);
	comm_leave(comm);
	rules_control_end();
	return 0;
}

int calls_close_send(void *scomm)
{
	int rc = fault_call("close_send");

	return rc ? rc : shut(scomm, "close_send");
}

int calls_close_recv(void *rcomm)
{
	int rc = fault_call("close_recv");

	return rc ? rc : shut(rcomm, "close_recv");
}
