/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <tcpx/status.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "transport/netplugin/refusal.h"
#include "transport/netplugin/remote.h"
#include "transport/netplugin/spawn.h"

#define ENDS_NS (4 * NS_PER_S) /* of all helpers together */

/* What it has for all its lives. */
static int prepare_helper(struct helper_process *h)
{
	void *area;

	h->memory_fd = memfd_create("tcpx-helper", MFD_CLOEXEC);
	h->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (h->memory_fd < 0 || h->wake_fd < 0 ||
	    ftruncate(h->memory_fd, sizeof(*h->area)))
		return TCPX_ENFILE;
	area = mmap(NULL, sizeof(*h->area), PROT_READ | PROT_WRITE, MAP_SHARED,
		    h->memory_fd, 0);
	if (area == MAP_FAILED)
		return TCPX_ENOMEM;
	h->area = area;
	return TCPX_OK;
}

static void fill_start(const struct helper_process *h, struct shared_message *m)
{
	const struct transport *t = h->transport;

	*m = (struct shared_message){.type = SHARED_START};
	m->start.version = SHARED_VERSION;
	m->start.gpu_index = h->gpu_index;
	m->start.chunk_bytes = t->limits.chunk_bytes;
	m->start.log_level = t->log ? (uint32_t)t->log->level : 0;
	memcpy(m->start.driver, t->driver, sizeof(m->start.driver));
}

int remote_start(struct helper_process *h, char *why, size_t cap_bytes)
{
	const struct timeval second = {1, 0};
	struct shared_message m;
	int pair[2], err;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair)) {
		snprintf(why, cap_bytes, "out of file descriptors");
		return TCPX_EUNSUPPORTED;
	}
	setsockopt(pair[0], SOL_SOCKET, SO_SNDTIMEO, &second, sizeof(second));
	fill_start(h, &m);
	pthread_mutex_lock(&h->send_lock);
	h->pid = 0;
	h->started_ns = clock_now_ns();
	err = spawn_helper(&h->transport->options, pair[1], h->memory_fd,
			   h->wake_fd, &h->pid, why, cap_bytes);
	close(pair[1]);
	if (!err)
		err = shared_send(pair[0], &m, NULL, 0);
	if (err)
		close(pair[0]);
	else
		h->socket_fd = pair[0];
	pthread_mutex_unlock(&h->send_lock);
	if (err) /* nobody listens to it, so nobody would see it end */
		remote_helper_end(h, 0);
	return err;
}

static void find_gpus(struct transport *t, struct gpu_set *gpus)
{
	struct gpu_info info;
	char why[128];

	t->n_helpers = gpus ? gpu_set_count(gpus, why, sizeof(why)) : 0;
	snprintf(t->driver, sizeof(t->driver), "off");
	if (t->n_helpers && !gpu_set_info(gpus, 0, &info))
		snprintf(t->driver, sizeof(t->driver), "%.*s",
			 (int)strcspn(info.driver, " "), info.driver);
	if (t->n_helpers)
		t->gpus = gpus;
	else
		t->n_helpers = 1;
}

/* One for each GPU that is used; why is of the last that has none. */
static int start_one(struct helper_process *h, char *why, size_t cap_bytes)
{
	struct transport *t = h->transport;
	int err = TCPX_OK;

	snprintf(why, cap_bytes, "no memory, or no file descriptor, for it");
	if (!options_wants_gpu(&t->options, h->gpu_index, t->n_helpers)) {
		snprintf(why, cap_bytes, OPTIONS_GPU_LEFT_OUT);
		err = TCPX_EUNSUPPORTED;
	} else if (t->gpus) {
		err = gpu_set_open(t->gpus, h->gpu_index, &h->gpu, why,
				   cap_bytes);
	}
	if (!err)
		err = prepare_helper(h);
	if (!err)
		err = remote_start(h, why, cap_bytes);
	if (!err)
		return TCPX_OK;
	h->state = REMOTE_FAILED;
	snprintf(h->cause, sizeof(h->cause), "%s", why);
	return err;
}

static int start_helpers(struct transport *t, char *why, size_t cap_bytes)
{
	uint32_t n_started = 0;

	t->helpers = calloc(t->n_helpers, sizeof(*t->helpers));
	if (!t->helpers)
		return TCPX_ENOMEM;
	for (uint32_t i = 0; i < t->n_helpers; i++) {
		struct helper_process *h = &t->helpers[i];

		h->transport = t;
		h->gpu_index = i;
		h->socket_fd = h->wake_fd = h->memory_fd = -1;
		pthread_mutex_init(&h->send_lock, NULL);
		n_started += !start_one(h, why, cap_bytes);
	}
	return n_started ? remote_hear_start(t) : TCPX_EUNSUPPORTED;
}

static void end_helpers(struct transport *t)
{
	uint64_t limit_ns = clock_now_ns() + ENDS_NS;

	for (uint32_t i = 0; t->helpers && i < t->n_helpers; i++) {
		struct helper_process *h = &t->helpers[i];

		remote_helper_end(h, limit_ns);
		remote_pool_put(h->pool); /* nobody else is there any more */
		pthread_mutex_destroy(&h->send_lock);
		if (h->wake_fd >= 0)
			close(h->wake_fd);
		if (h->memory_fd >= 0)
			close(h->memory_fd);
		if (h->area)
			munmap(h->area, sizeof(*h->area));
	}
	free(t->helpers);
}

int remote_open(const struct transport_params *params,
		struct transport **transport)
{
	struct transport *t = calloc(1, sizeof(*t));
	uint32_t chunk = params->chunk_bytes ? params->chunk_bytes :
					       OPTIONS_CHUNK_MAX;
	char why[300] = "";

	if (!t)
		return TCPX_ENOMEM;
	t->via = &netplugin_remote;
	t->log = params->log;
	list_init(&t->channels);
	list_init(&t->listeners);
	pthread_mutex_init(&t->lock, NULL);
	pthread_cond_init(&t->heard, NULL);
	int err = options_read(&options_env_process, chunk, &t->options, why,
			       sizeof(why));

	if (!err) {
		find_gpus(t, params->gpus);
		if (chunk > t->options.chunk_bytes)
			chunk = t->options.chunk_bytes;
		t->limits = (struct transport_limits){
			.window = t->options.window,
			.sends_max = t->options.window < t->options.n_slots ?
					     t->options.window :
					     t->options.n_slots,
			.chunk_bytes = chunk,
			.slot_bytes = chunk,
			.spans_max = 1,
			.n_rails = t->n_helpers,
			.n_channels = OPTIONS_CHANNELS,
		};
		err = start_helpers(t, why, sizeof(why));
	}
	if (!err) {
		*transport = t;
		return TCPX_OK;
	}
	refusal_of_open(params, why);
	end_helpers(t);
	free(t);
	return TCPX_EUNSUPPORTED;
}

void remote_close(struct transport *t)
{
	remote_hear_stop(t);
	end_helpers(t);
	pthread_cond_destroy(&t->heard);
	pthread_mutex_destroy(&t->lock);
	free(t);
}
