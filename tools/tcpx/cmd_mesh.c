/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd.h"

#include "mesh.h"
#include "report.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Sessions of one process of the mesh; those that are not open are NULL. */
struct sessions {
	struct tcpx_session *root, *control, *data;
	struct mesh_refused sent_away; /* by root */
	unsigned char root_blob[TCPX_BLOB_MAX];
	size_t root_blob_bytes;
};

/* What the ranks tell each other: by sockets, one connection, no GPU. */
static struct tcpx_config control_config(const struct tcpx_config *config,
					 const struct mesh_options *options)
{
	struct tcpx_config c = *config;

	c.transports = "socket";
	c.gpu = "off";
	c.n_flows = c.n_rails = 1;
	c.n_workers = 1;
	c.port_first = c.port_last = 0;
	if (c.ctrl_ifname)
		c.ifnames = c.ctrl_ifname;
	c.ctrl_ifname = NULL;
	/* Ranks come in any order, and wait for each other. */
	c.connect_timeout_ms = (uint32_t)(options->join_ns / 1000000);
	return c;
}

static int open_root(const struct tcpx_config *config, uint16_t port,
		     struct sessions *s)
{
	struct tcpx_config c = *config;
	int status;

	c.port_first = c.port_last = port;
	c.log_fn = mesh_refused_log;
	c.log_arg = &s->sent_away;
	status = session_open(&c, "rank 0 cannot listen for the others",
			      &s->root);
	if (!status)
		status = tcpx_session_blob(s->root, s->root_blob,
					   sizeof(s->root_blob),
					   &s->root_blob_bytes);
	return status;
}

/* Where each GPU has a process, a helper process of the net plugin for every
 * GPU in each of them would be for nothing. */
static void choose_gpu(const struct mesh_options *options,
		       const struct mesh_self *self)
{
	bool given = options->where == MESH_WHERE_GIVEN;
	char gpu[16];

	if (given ? options->params.mem.kind == PLACE_HOST :
		    self->local_ranks <= 1)
		return;
	snprintf(gpu, sizeof(gpu), "%u",
		 given ? options->params.mem.index : self->local_rank);
	setenv("TCPX_NETPLUGIN_GPUS", gpu, 0);
}

/* data stays NULL if it cannot be had: the root is told. */
static int open_all(const struct mesh_options *options,
		    const struct mesh_self *self, struct tcpx_config *config,
		    struct sessions *s)
{
	struct tcpx_config control = control_config(config, options);
	int status = 0;

	memset(s, 0, sizeof(*s));
	pthread_mutex_init(&s->sent_away.lock, NULL);
	if (self->rank == 0)
		status = open_root(&control, self->root_port, s);
	if (!status)
		status = session_open(&control, "cannot open a session",
				      &s->control);
	if (status)
		return status;
	if (config->port_first == config->port_last)
		config->port_first = config->port_last = 0;
	choose_gpu(options, self);
	if (session_open(config, "cannot open a session", &s->data))
		s->data = NULL;
	return 0;
}

static void close_all(struct sessions *s)
{
	if (s->data)
		tcpx_session_close(s->data);
	if (s->control)
		tcpx_session_close(s->control);
	if (s->root)
		tcpx_session_close(s->root);
	pthread_mutex_destroy(&s->sent_away.lock);
}

/* ---- rank 0 ---------------------------------------------------------------- */

static json_t *settings_json(const struct mesh_options *o,
			     const struct mesh_self *self,
			     const struct tcpx_config *config)
{
	return json_pack(
		"{ss si ss sI sI sI sI sb ss sI so}", "version", tcpx_version(),
		"ranks", (int)self->ranks, "op", case_op_name(o->params.op),
		"bytes", (json_int_t)o->params.piece_bytes, "iterations",
		(json_int_t)o->iters, "warmup", (json_int_t)o->warmup,
		"outstanding", (json_int_t)o->params.n_outstanding, "verify",
		o->verify, "wait", wait_style_name(o->params.wait), "seed",
		(json_int_t)o->params.seed, "session", report_config(config));
}

static void print(const struct mesh_root *root)
{
	struct bench_plan plan = {.params = root->options->params};
	uint64_t iters = root->options->iters;
	uint32_t ranks = root->self->ranks;
	char label[96];

	plan.params.mem = plan.params.peer_mem = (struct place){PLACE_HOST, 0};
	bench_label(&plan, label, sizeof(label));
	printf("tcpx %s mesh: %u rank%s, %s, %llu time%s, seed %llu\n\n",
	       tcpx_version(), ranks, ranks == 1 ? "" : "s", label,
	       (unsigned long long)iters, iters == 1 ? "" : "s",
	       (unsigned long long)plan.params.seed);
	mesh_print(root);
}

static int run_root(struct mesh_root *root, const struct tcpx_config *config)
{
	bool held = mesh_root_run(root);

	if (root->options->json)
		report_object(mesh_json(
			root, settings_json(root->options, root->self, config),
			held));
	else
		print(root);
	fflush(stdout);
	if (root->failure[0])
		complain("%s", root->failure);
	mesh_root_fini(root);
	if (held)
		return EXIT_HELD;
	return root->began ? EXIT_BROKE : EXIT_SETUP;
}

static int run_both(struct mesh_member *member, struct sessions *s,
		    const struct tcpx_config *config)
{
	struct mesh_root root = {.options = member->options,
				 .self = member->self,
				 .session = s->root,
				 .sent_away = &s->sent_away};
	pthread_t thread;
	int rc;

	member->quiet = true;
	member->root_blob = s->root_blob;
	member->root_blob_bytes = s->root_blob_bytes;
	if (pthread_create(&thread, NULL, mesh_member_run, member)) {
		complain("no thread");
		return EXIT_SETUP;
	}
	rc = run_root(&root, config);
	/* Tells a member that was not heard of that it is over. */
	tcpx_session_close(s->root);
	s->root = NULL;
	member->over = true;
	pthread_join(thread, NULL);
	return rc;
}

static int run(const struct mesh_options *options)
{
	struct mesh_member member = {.options = options};
	struct tcpx_config config;
	struct mesh_self self;
	struct sessions s;
	int rc;

	if (options_config_between(&options->session, &config))
		return EXIT_SETUP;
	if (!config.secret || !*config.secret) {
		complain("no secret: set TCPX_SECRET to the same text for all "
			 "ranks");
		return EXIT_SETUP;
	}
	if (mesh_find_self(options,
			   config.port_first ? config.port_first : MESH_PORT,
			   &self))
		return EXIT_USAGE;
	if (open_all(options, &self, &config, &s)) {
		close_all(&s);
		return EXIT_SETUP;
	}
	member.self = &self;
	member.control = s.control;
	member.data = s.data;
	if (self.rank == 0) {
		rc = run_both(&member, &s, &config);
	} else {
		mesh_member_run(&member);
		rc = member.exit_status;
	}
	close_all(&s);
	return rc;
}

int cmd_mesh(int argc, char **argv)
{
	struct mesh_options options;

	mesh_parse(argc, argv, &options);
	return run(&options);
}
