/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <tcpx/status.h>

#include "base/log.h"
#include "transport/netplugin/remote.h"

static struct remote_pool *pool_open(struct helper_process *h,
				     const struct shared_message *m, int fd)
{
	struct remote_pool *pool = calloc(1, sizeof(*pool));
	void *base = NULL;

	if (!pool || !h->gpu || m->share.off >= m->share.all_bytes ||
	    gpu_share_open(h->gpu, &m->share, fd, &base)) {
		free(pool);
		return NULL;
	}
	pool->gpu = h->gpu;
	pool->share = m->share;
	pool->base = base;
	pool->len_bytes = m->share.all_bytes - m->share.off;
	if (pool->len_bytes > m->mem_bytes)
		pool->len_bytes = m->mem_bytes;
	pool->n_users = 1;
	return pool;
}

void remote_pool_offered(struct helper_process *h,
			 const struct shared_message *m, const int *fds,
			 uint32_t n_fds)
{
	struct shared_message answer = {.type = SHARED_POOL_TAKEN};
	struct transport *t = h->transport;
	struct remote_pool *pool = pool_open(h, m, n_fds ? fds[0] : -1);

	if (pool)
		log_info(t->log, "netplugin",
			 "GPU %u: the plugin's pages are lent, %llu MiB",
			 h->gpu_index,
			 (unsigned long long)(pool->len_bytes >> 20));
	else
		log_info(t->log, "netplugin",
			 "GPU %u: the plugin's pages cannot be opened here: "
			 "its helper copies what comes",
			 h->gpu_index);
	answer.status = pool ? TCPX_OK : TCPX_EUNSUPPORTED;
	pthread_mutex_lock(&t->lock);
	remote_pool_put(h->pool);
	h->pool = pool;
	pthread_mutex_unlock(&t->lock);
	(void)remote_tell(h, &answer, -1);
}

void remote_pool_get(struct remote_pool *pool)
{
	pool->n_users++;
}

void remote_pool_put(struct remote_pool *pool)
{
	if (!pool || --pool->n_users)
		return;
	gpu_share_close(pool->gpu, &pool->share, pool->base);
	free(pool);
}
