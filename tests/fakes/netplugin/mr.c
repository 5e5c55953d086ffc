/* SPDX-License-Identifier: Apache-2.0 */
#include "mr.h"

#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "comm.h"
#include "conf.h"
#include "fault.h"
#include "memory.h"
#include "rules.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct mr *all; /* every one there was; covered by the lock */

/* The plugin exports the range as a dmabuf, fails to, and goes on with file
 * descriptor 0: it closes standard input. */
static int bad_size(size_t size_bytes)
{
	rules_broken(9,
		     "reg_mr of %zu bytes: not pages, or 2 GiB; the plugin "
		     "closes file descriptor 0",
		     size_bytes);
	close(0);
	return NETPLUGIN_ESYSTEM;
}

static int check_cuda(struct comm *comm, void *data, size_t size_bytes)
{
	const struct double_memory *memory = memory_get();
	int owner = memory->owner(data), here = memory->current();

	if (!conf_get()->use_dmabuf)
		return NETPLUGIN_EINTERNAL;
	if ((uintptr_t)data % 4096) {
		rules_broken(9, "reg_mr of %p: not at a page's start", data);
		return NETPLUGIN_EINTERNAL;
	}
	if (here < 0 || here != (owner < 0 ? comm->device : owner))
		rules_broken(7,
			     "reg_mr with GPU %d current: the memory's is %d, "
			     "the comm's %d",
			     here, owner, comm->device);
	if (!size_bytes || size_bytes % 4096 || size_bytes > INT_MAX)
		return bad_size(size_bytes);
	return 0;
}

static int reg(struct comm *comm, void *data, size_t size_bytes, int type,
	       void **mhandle)
{
	struct mr *mr;
	int rc = 0;

	if (type == NETPLUGIN_PTR_CUDA)
		rc = check_cuda(comm, data, size_bytes);
	else if (type != NETPLUGIN_PTR_HOST)
		rc = NETPLUGIN_EINTERNAL;
	if (rc)
		return rc;
	mr = calloc(1, sizeof(*mr));
	if (!mr)
		rules_exit("calloc failed");
	mr->comm = comm;
	mr->data = data;
	mr->len_bytes = size_bytes;
	mr->type = type;
	pthread_mutex_lock(&lock);
	mr->next = all;
	all = mr;
	pthread_mutex_unlock(&lock);
	*mhandle = mr;
	return 0;
}

int mr_reg(void *arg, void *data, size_t size_bytes, int type, void **mhandle)
{
	int rc = fault_call("reg_mr");

	if (rc)
		return rc;
	rules_control_begin("reg_mr");
	comm_enter(arg, "reg_mr");
	rc = reg(arg, data, size_bytes, type, mhandle);
	comm_leave(arg);
	rules_control_end();
	return rc;
}

static int dereg(struct comm *comm, struct mr *mr)
{
	if (mr->gone || mr->comm != comm)
		rules_broken(9, "dereg_mr of a registration that is %s",
			     mr->gone ? "gone" : "another comm's");
	/* Posted receives never look at theirs. */
	if (comm->is_send && mr->n_users)
		rules_broken(9, "dereg_mr under %d requests", mr->n_users);
	mr->gone = true;
	return 0;
}

int mr_dereg(void *arg, void *mhandle)
{
	struct comm *comm = arg;
	int rc = fault_call("dereg_mr");

	if (rc)
		return rc;
	if (!mhandle)
		return NETPLUGIN_EINTERNAL;
	rules_control_begin("dereg_mr");
	if (atomic_load(&comm->is_closed)) {
		rules_broken(9, "dereg_mr after its comm was closed");
		rules_crash();
	}
	comm_enter(comm, "dereg_mr");
	rc = dereg(comm, mhandle);
	comm_leave(comm);
	rules_control_end();
	return rc;
}

int mr_get_device(void *arg, void *mhandle, void **device_mhandle)
{
	return fault_call("get_device_mr");
}

int mr_check(struct comm *comm, const struct mr *mr, const void *data,
	     size_t len_bytes)
{
	uintptr_t at = (uintptr_t)data;

	if (!mr)
		return NETPLUGIN_EINTERNAL;
	if (mr->gone || atomic_load(&mr->comm->is_closed)) {
		rules_broken(9, "a registration that is gone, or whose comm "
				"is closed");
		rules_crash();
	}
	if (mr->comm != comm)
		rules_broken(9, "a registration of another comm");
	/* A receive's address and length are never looked at. */
	if (comm->is_send && len_bytes &&
	    (at < (uintptr_t)mr->data ||
	     at + len_bytes > (uintptr_t)mr->data + mr->len_bytes))
		rules_broken(9,
			     "a send of %zu bytes outside its "
			     "registration of %zu",
			     len_bytes, mr->len_bytes);
	if (!comm->is_send && len_bytes && mr->type == NETPLUGIN_PTR_HOST)
		rules_broken(22, "a receive with a host registration: its "
				 "data socket fails");
	return 0;
}
