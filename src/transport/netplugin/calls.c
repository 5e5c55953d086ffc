/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <tcpx/status.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/usermem.h"
#include "transport/netplugin/make.h"
#include "transport/netplugin/netplugin.h"

/* Registered for receives of an UNPACK device, and never used. */
#define BLOCK_BYTES (64u << 10)
#define LOCK_MS 200u

__attribute__((format(printf, 3, 4))) static int
because(struct transport *t, int status, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(t->why, sizeof(t->why), fmt, args);
	va_end(args);
	return status;
}

static int call_failed(struct transport *t, const char *call, int rc)
{
	return because(t,
		       rc == NETPLUGIN_EREMOTE ? TCPX_ECLOSED : TCPX_ECHANNEL,
		       "%s of %s: %s", call, t->plugin->name,
		       plugin_result_name(rc));
}

/* The lock, and the rail's GPU current. TCPX_INPROGRESS: somebody else is in
 * a call for longer than we wait. */
static int enter(struct transport *t, const struct rail *rail,
		 struct device_scope *scope)
{
	if (!plugin_lock(LOCK_MS))
		return TCPX_INPROGRESS;
	int err = device_enter(t, rail, scope);

	if (!err)
		return TCPX_OK;
	plugin_unlock();
	return because(t, err, "GPU %u cannot be made current",
		       rail->gpu_index);
}

static void leave(struct device_scope *scope)
{
	device_leave(scope);
	plugin_unlock();
}

/* ---- listeners --------------------------------------------------------- */

int make_call_listen(struct listener *l)
{
	struct transport *t = l->transport;
	struct device_scope scope;
	int err = enter(t, l->rail, &scope);

	if (err)
		return err < 0 ? err :
				 because(t, TCPX_ECHANNEL,
					 "listen of %s: "
					 "another call does not return",
					 t->plugin->name);
	int rc = t->plugin->calls.listen(l->rail->dev, l->handle, &l->lcomm);
	leave(&scope);
	if (rc || !l->lcomm) {
		err = call_failed(t, "listen", rc);
		log_warn(t->log, "netplugin", "rail %s: %s", l->rail->ifname,
			 t->why);
	}
	return err;
}

bool make_call_close_listen(struct listener *l)
{
	struct transport *t = l->transport;
	struct device_scope scope;

	if (enter(t, l->rail, &scope))
		return false;
	t->plugin->calls.close_listen(l->lcomm);
	leave(&scope);
	l->lcomm = NULL;
	return true;
}

/* ---- comms ------------------------------------------------------------- */

static void init_comm(struct channel *c)
{
	const struct transport *t = c->transport;
	struct comm *comm = &c->comm;

	comm->plugin = t->plugin;
	comm->handle = c->plugin_comm;
	comm->sends = c->sends;
	comm->unpacks = t->unpacks && !c->sends;
	comm->flushes = !t->unpacks && t->ptr_kind == NETPLUGIN_PTR_CUDA &&
			t->plugin->calls.iflush;
	comm->window = c->sends ? t->limits.sends_max : t->limits.window;
	comm->chunk_bytes = t->limits.chunk_bytes;
	comm->stall_ns = t->options.stall_ms * NS_PER_MS;
	if (getrandom(&comm->hash_key, sizeof(comm->hash_key), 0) < 0)
		comm->hash_key = clock_now_ns();
}

static uint64_t pages(uint64_t len_bytes)
{
	return (len_bytes + OPTIONS_PAGE - 1) / OPTIONS_PAGE * OPTIONS_PAGE;
}

/* Alignment and size are checked here, because a plugin that finds them wrong
 * may close descriptors that are not its own. */
static int register_memory(struct channel *c)
{
	struct transport *t = c->transport;
	struct comm *comm = &c->comm;
	uint64_t bytes = pages(
		comm->unpacks ?
			BLOCK_BYTES :
			(uint64_t)comm->chunk_bytes *
				(c->sends ? t->options.n_slots : comm->window));
	int err = device_alloc(t, c->rail, bytes, &comm->mem, &c->mem_fd);

	if (err)
		return because(t, err, "no memory for slots (%llu bytes)",
			       (unsigned long long)bytes);
	c->mem_bytes = bytes;
	if ((uintptr_t)comm->mem % OPTIONS_PAGE || bytes > INT32_MAX)
		return because(t, TCPX_ECHANNEL,
			       "slots that cannot be "
			       "registered: %llu bytes at %p",
			       (unsigned long long)bytes, (void *)comm->mem);
	int rc = t->plugin->calls.reg_mr(comm->handle, comm->mem, bytes,
					 t->ptr_kind, &comm->mhandle);
	if (rc || !comm->mhandle)
		return call_failed(t, "regMr", rc);
	return TCPX_OK;
}

/* What comes from host memory is gathered there: an ordinary send, that lands
 * in the receiver's pool all the same. */
static int register_host_slots(struct channel *c)
{
	struct transport *t = c->transport;
	struct comm *comm = &c->comm;

	if (!t->host_slots)
		return TCPX_OK;
	if (host_alloc(t, c->mem_bytes, &comm->host_mem, &c->host_fd))
		return because(t, TCPX_ENOMEM, "no memory for slots");
	int rc = t->plugin->calls.reg_mr(comm->handle, comm->host_mem,
					 c->mem_bytes, NETPLUGIN_PTR_HOST,
					 &comm->host_mhandle);
	if (rc || !comm->host_mhandle)
		return call_failed(t, "regMr", rc);
	return TCPX_OK;
}

static int make_fragments(struct channel *c)
{
	struct comm *comm = &c->comm;
	size_t n = comm->unpacks ? COMM_RING * NETPLUGIN_UNPACK_ENTRIES :
				   COMM_RING;

	/* Zeroed pages: used only as far as lists are long. */
	comm->fragments = calloc(n, sizeof(*comm->fragments));
	return comm->fragments ?
		       TCPX_OK :
		       because(c->transport, TCPX_ENOMEM, "out of memory");
}

/* Where received bytes will be: 24 bytes in device memory say it. */
static int read_device_handle(struct channel *c)
{
	struct transport *t = c->transport;
	const struct netplugin_device_handle *dh = &c->device_handle;
	struct netplugin_unpack_handle unpack;
	struct comm *comm = &c->comm;

	if (dh->type != NETPLUGIN_DEVICE_UNPACK ||
	    dh->version != NETPLUGIN_UNPACK_VERSION ||
	    dh->size_bytes != sizeof(unpack) || !dh->handle)
		return because(t, TCPX_ECHANNEL,
			       "a device handle of type %d, "
			       "version %d, %zu bytes: not one of those that "
			       "this version knows",
			       dh->type, dh->version, dh->size_bytes);
	int err = device_read(t, c->rail, &unpack, dh->handle, sizeof(unpack));
	if (err)
		return because(t, err, "the device handle cannot be read");
	if (!unpack.meta || (uintptr_t)unpack.meta % 16 || !unpack.bounce)
		return because(t, TCPX_ECHANNEL,
			       "a device handle without "
			       "metadata or pool");
	if (!usermem_can_read_all(unpack.meta, sizeof(*unpack.meta)))
		return because(t, TCPX_ECHANNEL,
			       "a device handle whose metadata, %zu bytes, "
			       "the CPU cannot read",
			       sizeof(*unpack.meta));
	comm->meta = unpack.meta;
	comm->bounce = unpack.bounce;
	comm->pool_bytes = t->options.pool_bytes;
	if (!comm->pool_bytes)
		comm->pool_bytes =
			device_extent(t, c->rail, unpack.bounce, 1ull << 32);
	return TCPX_OK;
}

static int set_up(struct channel *c)
{
	int err;

	init_comm(c);
	err = register_memory(c);
	if (!err && c->sends)
		err = register_host_slots(c);
	slots_set(&c->slots, c->comm.mem, c->comm.host_mem);
	if (!err && !c->sends)
		err = make_fragments(c);
	if (!err && c->comm.unpacks)
		err = read_device_handle(c);
	return err;
}

/* A comm of one that nobody wants any more is only kept to be closed. */
static int got_comm(struct channel *c)
{
	c->in_plugin = false;
	if (load_relaxed(&c->state) != END_MAKING)
		return TCPX_ECLOSED;
	return set_up(c);
}

int make_call_connect(struct channel *c)
{
	struct transport *t = c->transport;
	struct netplugin_device_handle *unused = NULL;
	struct device_scope scope;
	int err = enter(t, c->rail, &scope);

	if (err)
		return err;
	c->in_plugin = true;
	int rc = t->plugin->calls.connect(c->rail->dev, c->peer.handle,
					  &c->plugin_comm, &unused);
	if (rc) {
		c->in_plugin = false;
		err = call_failed(t, "connect", rc);
	} else {
		err = c->plugin_comm ? got_comm(c) : TCPX_INPROGRESS;
	}
	leave(&scope);
	return err;
}

/* The handle's 32 bytes are ours: plugins write through the pointer, and read
 * the argument itself as "unpack, please". */
int make_call_accept(struct channel *c)
{
	struct transport *t = c->transport;
	struct device_scope scope;
	int err = enter(t, c->rail, &scope);

	if (err)
		return err;
	c->in_plugin = true;
	c->device_ptr = &c->device_handle;
	int rc = t->plugin->calls.accept(c->listener->lcomm, &c->plugin_comm,
					 &c->device_ptr);
	if (rc) {
		c->in_plugin = false;
		err = call_failed(t, "accept", rc);
	} else {
		err = c->plugin_comm ? got_comm(c) : TCPX_INPROGRESS;
	}
	leave(&scope);
	return err;
}

/* A registration must go before its comm and after its sends. Where sends are
 * outstanding that is never, and its descriptors are left to the process. */
bool make_call_close(struct channel *c)
{
	struct transport *t = c->transport;
	const struct plugin_calls *calls = &t->plugin->calls;
	struct device_scope scope;

	if (enter(t, c->rail, &scope))
		return false;
	if (!c->sends || c->comm.posted == c->comm.done) {
		if (c->comm.mhandle)
			calls->dereg_mr(c->plugin_comm, c->comm.mhandle);
		if (c->comm.host_mhandle)
			calls->dereg_mr(c->plugin_comm, c->comm.host_mhandle);
	}
	if (c->sends)
		calls->close_send(c->plugin_comm);
	else
		calls->close_recv(c->plugin_comm);
	if (c->comm.mem)
		device_free(t, c->rail, c->comm.mem, c->mem_bytes, c->mem_fd);
	leave(&scope);
	host_free(c->comm.host_mem, c->mem_bytes, c->host_fd);
	c->plugin_comm = NULL;
	c->comm.mem = c->comm.host_mem = NULL;
	return true;
}

/* ---- channels ---------------------------------------------------------- */

struct channel *channel_create(struct transport *t, struct rail *rail,
			       bool sends)
{
	struct channel *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	list_init(&c->link);
	list_init(&c->inbox);
	side_init(&c->side, -1);
	c->mem_fd = c->host_fd = -1;
	c->via = &netplugin_inside;
	c->transport = t;
	c->rail = rail;
	c->sends = sends;
	if (!sends)
		return c;
	if (slots_init(&c->slots, t->options.n_slots, t->limits.chunk_bytes)) {
		free(c);
		return NULL;
	}
	return c;
}

void channel_destroy(struct channel *c)
{
	slots_fini(&c->slots);
	free(c->comm.fragments);
	free(c);
}

/* Under the lock of control calls, or where nobody gets it any more. */
static struct list left_behind = {&left_behind, &left_behind};

void channel_leave_behind(struct channel *c)
{
	bool locked = plugin_lock(LOCK_MS);

	list_add_tail(&left_behind, &c->link);
	if (locked)
		plugin_unlock();
}
