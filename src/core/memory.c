/* SPDX-License-Identifier: Apache-2.0 */
#include "core/memory.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/usermem.h"
#include "core/peering.h"
#include "core/session.h"
#include "engine/device.h"
#include "engine/region.h"

#define ACCESS_ALL (TCPX_ACCESS_REMOTE_READ | TCPX_ACCESS_REMOTE_WRITE)

/* Whose memory it is, and whether it can be carried. */
static int find_gpu(struct tcpx_session *session, const void *base,
		    uint64_t len_bytes, struct gpu **gpu)
{
	char why[160] = "";
	int err = gpu_set_find(session->gpus, base, len_bytes, gpu, why,
			       sizeof(why));

	if (!err && *gpu && !session->carries_gpu) {
		err = TCPX_EUNSUPPORTED;
		snprintf(why, sizeof(why),
			 "the transports in \"%s\" do not carry device memory",
			 session->config->transports);
	}
	if (err)
		log_error(&session->log, "memory",
			  "cannot register %p, %llu bytes: %s", base,
			  (unsigned long long)len_bytes, why);
	return err;
}

/* A pointer that leads nowhere is found out here, where it is said whose it is,
 * and not by a worker that copies from there. */
static int check_host(struct tcpx_session *session, const void *base,
		      uint64_t len_bytes, uint32_t access)
{
	const char *why = usermem_check(base, len_bytes,
					access & TCPX_ACCESS_REMOTE_WRITE);

	if (!why)
		return 0;
	log_error(&session->log, "memory",
		  "cannot register %p, %llu bytes, rights %u: %s", base,
		  (unsigned long long)len_bytes, access, why);
	return TCPX_EFAULT;
}

int tcpx_mem_register(struct tcpx_session *session, void *base,
		      uint64_t len_bytes, uint32_t access, uint64_t *mem)
{
	uint64_t at = (uint64_t)(uintptr_t)base;

	if (!session_is_ours(session))
		return TCPX_EINVAL;
	if (!mem || !base || !len_bytes || access & ~(uint32_t)ACCESS_ALL ||
	    at + len_bytes < at) {
		log_error(&session->log, "memory",
			  "cannot register %p, %llu bytes, rights %u", base,
			  (unsigned long long)len_bytes, access);
		return TCPX_EINVAL;
	}
	struct gpu *gpu;
	int err = find_gpu(session, base, len_bytes, &gpu);

	if (!err && !gpu)
		err = check_host(session, base, len_bytes, access);
	if (err)
		return err;
	struct region *region = calloc(1, sizeof(*region));

	if (!region)
		return TCPX_ENOMEM;
	region->gpu = gpu;
	region->base = base;
	region->len_bytes = len_bytes;
	region->access = access;
	randombytes_buf(&region->key, sizeof(region->key));
	store_relaxed(&region->refs, 1);
	err = idmap_add(&session->mems, region, &region->id);

	if (err) {
		free(region);
		return err;
	}
	*mem = region->id;
	return 0;
}

static void revoke_from(struct peering *peering, void *region)
{
	struct tcpx_session *session = peering->session;

	pthread_mutex_lock(&session->lock);
	struct peer *peer = peering->peer;

	pthread_mutex_unlock(&session->lock);
	if (peer)
		peer_revoke(peer, region);
}

int tcpx_mem_deregister(struct tcpx_session *session, uint64_t mem)
{
	if (!session_is_ours(session))
		return TCPX_EINVAL;
	/* Nobody finds it any more ... */
	pthread_mutex_lock(&session->mem_lock);
	struct region *region = idmap_remove(&session->mems, mem);

	pthread_mutex_unlock(&session->mem_lock);
	if (!region)
		return session_no_such(session, "registered region", mem);
	/* ... and who has it lets go of it. */
	store_release(&region->dead, 1);
	peering_each(session, revoke_from, region);
	/* Lanes start nothing more on it; what runs on the GPU ends first. */
	int err = region->gpu ? gpu_settle(region->gpu) : 0;

	if (err)
		log_error(&session->log, "memory",
			  "region %llu: GPU %u was given up with copies under "
			  "way, which may yet touch that memory",
			  (unsigned long long)mem, gpu_index(region->gpu));
	region_put(region);
	return err;
}

int memory_find(void *arg, uint64_t mem, uint64_t key, struct region **out)
{
	struct tcpx_session *session = arg;
	int err = 0;

	pthread_mutex_lock(&session->mem_lock);
	struct region *region = idmap_get(&session->mems, mem);

	if (!region)
		err = TCPX_ENOENT;
	else if (sodium_memcmp(&region->key, &key, sizeof(key)))
		err = TCPX_EKEY;
	else
		region_get(region);
	pthread_mutex_unlock(&session->mem_lock);
	if (!err)
		*out = region;
	return err;
}

int memory_own(struct tcpx_session *session, uint64_t mem, struct region **out)
{
	pthread_mutex_lock(&session->mem_lock);
	struct region *region = idmap_get(&session->mems, mem);

	if (region)
		region_get(region);
	pthread_mutex_unlock(&session->mem_lock);
	if (!region)
		return TCPX_ENOENT;
	*out = region;
	return 0;
}

/* ---- blobs ------------------------------------------------------------ */

int tcpx_mem_blob(struct tcpx_session *session, const uint64_t *mems, size_t n,
		  void *buf, size_t cap_bytes, size_t *len_bytes)
{
	if (!session_is_ours(session) || !mems || !len_bytes ||
	    (!buf && cap_bytes))
		return session_null(session, __func__);
	if (!n)
		return session_bad_argument(session, __func__, "no regions");
	struct mem_blob_entry *entries = calloc(n, sizeof(*entries));

	if (!entries)
		return TCPX_ENOMEM;
	uint64_t missing = 0;
	int err = 0;

	pthread_mutex_lock(&session->mem_lock);
	for (size_t i = 0; i < n && !err; i++) {
		struct region *region = idmap_get(&session->mems, mems[i]);

		missing = mems[i];
		if (!region)
			err = TCPX_ENOENT;
		else
			entries[i] = (struct mem_blob_entry){
				.mem = region->id,
				.key = region->key,
				.len_bytes = region->len_bytes,
				.access = region->access,
				.device = device_number(region->gpu),
			};
	}
	pthread_mutex_unlock(&session->mem_lock);
	if (err)
		session_no_such(session, "registered region", missing);
	else
		err = mem_blob_encode(session->id, entries, n, buf, cap_bytes,
				      len_bytes);
	free(entries);
	return err;
}

static int not_a_blob(const struct tcpx_session *session, int err)
{
	log_error(&session->log, "memory", "this is not a memory blob: %s",
		  tcpx_strerror(err));
	return err;
}

static int add_remote(struct tcpx_session *session,
		      const uint8_t owner[SESSION_ID_BYTES],
		      const struct mem_blob_entry *entry, uint64_t *handle)
{
	struct remote_mem *remote = malloc(sizeof(*remote));

	if (!remote)
		return TCPX_ENOMEM;
	memcpy(remote->session, owner, SESSION_ID_BYTES);
	remote->mem = entry->mem;
	remote->key = entry->key;
	remote->len_bytes = entry->len_bytes;
	remote->access = entry->access;
	remote->device = entry->device;
	int err = idmap_add(&session->remote_mems, remote, handle);

	if (err)
		free(remote);
	return err;
}

int tcpx_mem_load(struct tcpx_session *session, const void *blob,
		  size_t len_bytes, uint64_t *mems, size_t cap_mems,
		  size_t *n_mems)
{
	uint8_t owner[SESSION_ID_BYTES];
	struct mem_blob_entry *entries;
	size_t n = 0, i;

	if (!session_is_ours(session) || !blob || !n_mems ||
	    (!mems && cap_mems))
		return session_null(session, __func__);
	int err = mem_blob_decode(blob, len_bytes, owner, NULL, 0, &n);

	if (err && err != TCPX_ENOSPC)
		return not_a_blob(session, err);
	if (n > cap_mems || !n) {
		*n_mems = n;
		return n ? TCPX_ENOSPC : not_a_blob(session, TCPX_EINVAL);
	}
	entries = calloc(n, sizeof(*entries));
	if (!entries)
		return TCPX_ENOMEM;
	err = mem_blob_decode(blob, len_bytes, owner, entries, n, &n);
	for (i = 0; i < n && !err; i++)
		err = add_remote(session, owner, &entries[i], &mems[i]);
	if (err)
		while (i-- > 1)
			tcpx_mem_unload(session, mems[i - 1]);
	else
		*n_mems = n;
	free(entries);
	return err;
}

int tcpx_mem_unload(struct tcpx_session *session, uint64_t mem)
{
	if (!session_is_ours(session))
		return TCPX_EINVAL;
	pthread_mutex_lock(&session->mem_lock);
	struct remote_mem *remote = idmap_remove(&session->remote_mems, mem);

	pthread_mutex_unlock(&session->mem_lock);
	if (!remote)
		return session_no_such(session, "loaded region", mem);
	free(remote);
	return 0;
}

int memory_remote(struct tcpx_session *session, uint64_t mem,
		  struct remote_mem *out)
{
	pthread_mutex_lock(&session->mem_lock);
	struct remote_mem *remote = idmap_get(&session->remote_mems, mem);

	if (remote)
		*out = *remote;
	pthread_mutex_unlock(&session->mem_lock);
	return remote ? 0 : TCPX_ENOENT;
}

int tcpx_mem_len(struct tcpx_session *session, uint64_t mem,
		 uint64_t *len_bytes)
{
	struct region *region;
	struct remote_mem remote;

	if (!session_is_ours(session) || !len_bytes)
		return session_null(session, __func__);
	if (!memory_own(session, mem, &region)) {
		*len_bytes = region->len_bytes;
		region_put(region);
		return 0;
	}
	if (memory_remote(session, mem, &remote))
		return session_no_such(session, "region", mem);
	*len_bytes = remote.len_bytes;
	return 0;
}

void memory_free_all(struct tcpx_session *session)
{
	uint32_t cursor = 0;
	void *object;

	while ((object = idmap_next(&session->mems, &cursor)))
		region_put(object);
	cursor = 0;
	while ((object = idmap_next(&session->remote_mems, &cursor)))
		free(object);
}
