/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A net plugin that moves nothing: everything is done as soon as it is posted,
 * within one process. What is left to measure is who drives it. Received
 * chunks are in NULL_PLUGIN_FRAGMENTS pieces (1) of a pool.
 */

#include <stdlib.h>
#include <string.h>

#include "transport/netplugin/abi.h"

#define CHUNK (512u << 10)

struct comm {
	struct comm *sender;	/* of a receiver */
	uint64_t posted, done;
	struct netplugin_unpack_handle unpack;
};

struct listen {
	struct comm *sender;
};

static uint8_t pool[2 * CHUNK];

static int init(netplugin_log_fn log)
{
	return 0;
}

static int devices(int *n)
{
	*n = 1;
	return 0;
}

static int get_properties(int dev, struct netplugin_props_v7 *props)
{
	*props = (struct netplugin_props_v7){
		.name = (char *)"lo",
		.ptr_support = NETPLUGIN_PTR_HOST | NETPLUGIN_PTR_CUDA,
		.speed_mbps = 100000,
		.max_comms = 1024,
		.max_recvs = 1,
		.device_type = NETPLUGIN_DEVICE_UNPACK,
		.device_version = NETPLUGIN_UNPACK_VERSION,
	};
	return 0;
}

static int listen_(int dev, void *handle, void **lcomm)
{
	struct listen *l = calloc(1, sizeof(*l));

	memcpy(handle, &l, sizeof(l));
	*lcomm = l;
	return l ? 0 : NETPLUGIN_ESYSTEM;
}

static int connect_(int dev, void *handle, void **scomm,
		    struct netplugin_device_handle **send_handle)
{
	struct listen *l;

	memcpy(&l, handle, sizeof(l));
	l->sender = calloc(1, sizeof(*l->sender));
	*scomm = l->sender;
	return l->sender ? 0 : NETPLUGIN_ESYSTEM;
}

/* The same list in every slot: pieces in order of the chunk, from every other
 * place of the pool, so that no two are one. */
static void fill(struct netplugin_unpack_meta *meta)
{
	const char *text = getenv("NULL_PLUGIN_FRAGMENTS");
	uint32_t n = text ? (uint32_t)atoi(text) : 1, len = CHUNK / n;

	for (uint32_t slot = 0; slot < NETPLUGIN_UNPACK_SLOTS; slot++) {
		for (uint32_t i = 0; i < n; i++)
			meta->entries[slot][i] =
				(struct netplugin_unpack_entry){
					.src_off = 2 * i * len % CHUNK,
					.len_bytes = len,
					.dst_off = (uint64_t)i * len};
		meta->counts[slot] = n;
	}
}

static int accept_(void *lcomm, void **rcomm,
		   struct netplugin_device_handle **recv_handle)
{
	struct listen *l = lcomm;
	struct comm *c;

	*rcomm = NULL;
	if (!l->sender)
		return 0;
	c = calloc(1, sizeof(*c));
	if (!c)
		return NETPLUGIN_ESYSTEM;
	c->sender = l->sender;
	c->unpack.meta = aligned_alloc(4096, (sizeof(*c->unpack.meta) + 4095) &
						     ~(size_t)4095);
	if (!c->unpack.meta)
		return NETPLUGIN_ESYSTEM;
	c->unpack.bounce = pool;
	c->unpack.head = UINT64_MAX;
	fill(c->unpack.meta);
	**recv_handle = (struct netplugin_device_handle){
		.type = NETPLUGIN_DEVICE_UNPACK,
		.version = NETPLUGIN_UNPACK_VERSION,
		.handle = &c->unpack,
		.size_bytes = sizeof(c->unpack),
	};
	*rcomm = c;
	return 0;
}

static int reg_mr(void *comm, void *data, int size_bytes, int type,
		  void **mhandle)
{
	*mhandle = comm;
	return 0;
}

static int dereg_mr(void *comm, void *mhandle)
{
	return 0;
}

static int isend(void *scomm, void *data, int size_bytes, int tag,
		 void *mhandle, void **request)
{
	struct comm *c = scomm;

	c->posted++;
	*request = c;
	return 0;
}

static int irecv(void *rcomm, int n, void **data, int *sizes_bytes, int *tags,
		 void **mhandles, void **request)
{
	return isend(rcomm, NULL, 0, 0, NULL, request);
}

static int test(void *request, int *done, int *sizes_bytes)
{
	struct comm *c = request;

	*done = c->done < (c->sender ? c->sender->posted : c->posted);
	c->done += (uint64_t)*done;
	return 0;
}

static int consumed(void *rcomm, int n, void *request)
{
	return 0;
}

static int close_any(void *comm)
{
	return 0;
}

__attribute__((visibility(
	"default"))) extern const struct netplugin_v7 ncclNetPlugin_v7;
const struct netplugin_v7 ncclNetPlugin_v7 = {
	.name = "null",
	.init = init,
	.devices = devices,
	.get_properties = get_properties,
	.listen = listen_,
	.connect = connect_,
	.accept = accept_,
	.reg_mr = reg_mr,
	.dereg_mr = dereg_mr,
	.isend = isend,
	.irecv = irecv,
	.test = test,
	.close_send = close_any,
	.close_recv = close_any,
	.close_listen = close_any,
	.irecv_consumed = consumed,
};
