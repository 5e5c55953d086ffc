/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tcpx/status.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/log.h"
#include "transport/netplugin/daemon.h"
#include "transport/netplugin/remote.h"

#define DAEMON_MS 300

/* Of memory that is not the helper's to hand on. *fd is the caller's. */
static int ask_daemon(struct helper_process *h, const struct shared_message *m,
		      struct gpu_share *share, int *fd, char *why, size_t cap)
{
	const struct options_env *env = &options_env_process;
	const struct transport *t = h->transport;
	struct daemon_pool pool;
	struct gpu_info info;

	snprintf(why, cap, "it cannot be exported");
	if ((!m->has_daemon && !options_names_daemon(env)) ||
	    gpu_set_info(t->gpus, h->gpu_index, &info))
		return TCPX_EUNSUPPORTED;
	int err = daemon_ask_pool(options_daemon_dir(env), info.pci, DAEMON_MS,
				  &pool, why, cap);

	if (err)
		return err;
	*fd = pool.fd;
	gpu_share_of_fd(h->gpu, pool.len_bytes, share);
	if (pool.len_bytes == m->share.all_bytes && m->share.off == 0)
		return TCPX_OK;
	if (!m->share.all_bytes)
		snprintf(why, cap, "its length is not known");
	else
		snprintf(
			why, cap,
			"the receive daemon's has %llu bytes, the plugin's %llu",
			(unsigned long long)pool.len_bytes,
			(unsigned long long)(m->share.all_bytes -
					     m->share.off));
	return TCPX_EUNSUPPORTED;
}

static struct remote_pool *pool_map(struct helper_process *h,
				    const struct gpu_share *share, int fd,
				    uint64_t len_bytes)
{
	struct remote_pool *pool = calloc(1, sizeof(*pool));
	void *base = NULL;

	if (!pool || gpu_share_open(h->gpu, share, fd, &base)) {
		free(pool);
		return NULL;
	}
	pool->gpu = h->gpu;
	pool->share = *share;
	pool->base = base;
	pool->len_bytes = share->all_bytes - share->off;
	if (pool->len_bytes > len_bytes)
		pool->len_bytes = len_bytes;
	pool->n_users = 1;
	return pool;
}

static struct remote_pool *pool_open(struct helper_process *h,
				     const struct shared_message *m, int fd,
				     char *why, size_t cap)
{
	struct gpu_share share = m->share;
	struct remote_pool *pool;
	int asked = -1;

	if (!h->gpu)
		return NULL;
	if (!m->exported && ask_daemon(h, m, &share, &asked, why, cap)) {
		pool = NULL;
	} else {
		snprintf(why, cap, "it cannot be opened here");
		pool = pool_map(h, &share, asked >= 0 ? asked : fd,
				m->mem_bytes);
	}
	if (asked >= 0)
		close(asked);
	return pool;
}

void remote_pool_offered(struct helper_process *h,
			 const struct shared_message *m, const int *fds,
			 uint32_t n_fds)
{
	struct shared_message answer = {.type = SHARED_POOL_TAKEN};
	struct transport *t = h->transport;
	char why[160] = "it is in host memory", how[200];
	struct remote_pool *last,
		*pool = pool_open(h, m, n_fds ? fds[0] : -1, why, sizeof(why));

	if (pool)
		snprintf(how, sizeof(how),
			 "its helper lends the plugin's pages, %llu MiB%s",
			 (unsigned long long)(pool->len_bytes >> 20),
			 m->exported ? "" : " of the receive daemon's");
	else
		snprintf(how, sizeof(how),
			 "its helper copies what comes; the plugin's pool "
			 "cannot be read here: %s",
			 why);
	log_info(t->log, "netplugin", "GPU %u: %s", h->gpu_index, how);
	answer.status = pool ? TCPX_OK : TCPX_EUNSUPPORTED;
	answer.has_daemon = pool && !m->exported;
	pthread_mutex_lock(&t->lock);
	last = h->pool;
	h->pool = pool;
	memcpy(h->how, how, sizeof(h->how));
	pthread_mutex_unlock(&t->lock);
	remote_pool_put(last);
	(void)remote_tell(h, &answer, -1);
}

static bool shows(const struct remote_pool *pool,
		  const struct shared_message *m)
{
	uint8_t seen[sizeof(m->addr)];

	return m->addr_bytes && m->addr_bytes <= sizeof(seen) &&
	       m->mem_bytes < pool->len_bytes &&
	       m->addr_bytes <= pool->len_bytes - m->mem_bytes &&
	       !gpu_copy_wait(pool->gpu, seen, pool->base + m->mem_bytes,
			      m->addr_bytes) &&
	       !memcmp(seen, m->addr, m->addr_bytes);
}

void remote_pool_prove(struct helper_process *h, const struct shared_message *m)
{
	struct shared_message answer = {.type = SHARED_POOL_PROVED,
					.id = m->id};
	struct transport *t = h->transport;
	struct remote_pool *pool = h->pool; /* this thread's to change */

	answer.status = pool && shows(pool, m) ? TCPX_OK : TCPX_EUNSUPPORTED;
	if (answer.status) {
		pthread_mutex_lock(&t->lock);
		snprintf(h->how, sizeof(h->how),
			 "its helper copies what comes; the receive daemon's "
			 "pool is not the plugin's");
		pthread_mutex_unlock(&t->lock);
		log_warn(t->log, "netplugin", "GPU %u: %s", h->gpu_index,
			 h->how);
	}
	(void)remote_tell(h, &answer, -1);
}

void remote_pool_get(struct remote_pool *pool)
{
	add_relaxed(&pool->n_users, 1);
}

void remote_pool_put(struct remote_pool *pool)
{
	if (!pool || add_acq_rel(&pool->n_users, -1) > 1)
		return;
	gpu_share_close(pool->gpu, &pool->share, pool->base);
	free(pool);
}
