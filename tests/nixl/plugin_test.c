/* SPDX-License-Identifier: Apache-2.0 */
/* The backend in a real NIXL, both agents in one process. */
#include <dirent.h>

#include <tcpx/p2p.h>

#include "check.h"
#include "duo.h"
#include "support/count.h"

/* ---- parameters ------------------------------------------------------- */

static const char *param(void *params, const char *name, char *buf, size_t cap)
{
	const char *key, *value, *found = NULL;
	bool more = true;
	void *iterator;

	CHECK_EQ(capi()->params_create_iterator(params, &iterator), 0);
	while (more) {
		CHECK_EQ(capi()->params_iterator_next(iterator, &key, &value,
						      &more),
			 0);
		if (!key || strcmp(key, name))
			continue;
		snprintf(buf, cap, "%s", value);
		found = buf;
		break;
	}
	CHECK_EQ(capi()->params_destroy_iterator(iterator), 0);
	return found;
}

static void check_mems(void *mems)
{
	size_t n;
	int mem, seen = 0;

	CHECK_EQ(capi()->mem_list_size(mems, &n), 0);
	CHECK_EQ(n, 2);
	for (size_t i = 0; i < n; i++) {
		CHECK_EQ(capi()->mem_list_get(mems, i, &mem), 0);
		seen |= 1 << mem;
	}
	CHECK_EQ(seen, 1 << CAPI_DRAM | 1 << CAPI_VRAM);
}

static void shown_params(void)
{
	const char *const handed[] = {"flows=3", NULL};
	struct side side;
	void *mems, *params;
	char buf[64];

	setenv("TCPX_LIVENESS_MS", "7654", 1);
	setenv("TCPX_SECRET", "do not show", 1);
	side_open(&side, "a", handed);
	CHECK_EQ(capi()->get_plugin_params(side.agent, "TCPX", &mems, &params),
		 0);
	check_mems(mems);
	CHECK_STR(param(params, "deadline_ms", buf, sizeof(buf)), "30000");
	CHECK_STR(param(params, "liveness_ms", buf, sizeof(buf)), "7654");
	CHECK_STR(param(params, "port", buf, sizeof(buf)), "0");
	CHECK_STR(param(params, "ifnames", buf, sizeof(buf)), "");
	CHECK(!param(params, "secret", buf, sizeof(buf)));
	CHECK(!param(params, "name", buf, sizeof(buf)));
	CHECK_EQ(capi()->destroy_mem_list(mems), 0);
	CHECK_EQ(capi()->destroy_params(params), 0);
	CHECK_EQ(capi()->get_backend_params(side.agent, side.backend, &mems,
					    &params),
		 0);
	check_mems(mems);
	CHECK_STR(param(params, "flows", buf, sizeof(buf)), "3");
	CHECK_EQ(capi()->destroy_mem_list(mems), 0);
	CHECK_EQ(capi()->destroy_params(params), 0);
	side_close(&side);
}

/* What getPluginParams() shows may be handed back as it is. */
static void params_handed_back(void)
{
	const struct capi_config config = {.sync = CAPI_SYNC_NONE};
	void *agent, *mems, *params, *backend;

	setenv("TCPX_PORT", "20000-29999", 1);
	CHECK_EQ(capi()->create_configured_agent("a", &config, &agent), 0);
	CHECK_EQ(capi()->get_plugin_params(agent, "TCPX", &mems, &params), 0);
	CHECK_EQ(capi()->create_backend(agent, "TCPX", params, &backend), 0);
	CHECK_EQ(capi()->destroy_mem_list(mems), 0);
	CHECK_EQ(capi()->destroy_params(params), 0);
	CHECK_EQ(capi()->destroy_agent(agent), 0);
	CHECK_EQ(capi()->destroy_backend(backend), 0);
}

/* Runs `fn` with standard error in a file, and looks for a text in it. */
static bool says(void (*fn)(const void *arg), const void *arg, const char *text)
{
	char path[] = "/tmp/tcpx-nixl-test-XXXXXX", log[8192];
	int file = mkstemp(path), err = dup(2);

	CHECK(file >= 0 && err >= 0);
	dup2(file, 2);
	fn(arg);
	dup2(err, 2);
	ssize_t n = pread(file, log, sizeof(log) - 1, 0);

	log[n > 0 ? n : 0] = '\0';
	close(file);
	close(err);
	unlink(path);
	if (!strstr(log, text))
		fprintf(stderr, "not said: \"%s\", but:\n%s", text, log);
	return strstr(log, text) != NULL;
}

static void open_refused(const void *arg)
{
	const struct capi_config config = {.sync = CAPI_SYNC_NONE};
	const char *const params[] = {arg, NULL};
	struct side side;

	CHECK(side_try(&side, "a", &config, params) < 0);
	side_close(&side);
}

static void open_allowed(const void *arg)
{
	const char *const params[] = {arg, NULL};
	struct side side;

	side_open(&side, "a", params);
	side_close(&side);
}

static void bad_params(void)
{
	CHECK(says(open_refused, "port=many", "parameter port"));
	CHECK(says(open_refused, "flows=1.5", "parameter flows"));
	CHECK(says(open_refused, "flows=99",
		   "parameter flows: n_flows (TCPX_FLOWS) is 99; allowed: "));
	CHECK(says(open_refused, "transports=foo",
		   "parameter transports: transports (TCPX_TRANSPORTS) is "));
	CHECK(says(open_refused, "checksum=perhaps", "parameter checksum"));
	CHECK(says(open_refused, "log_level=loud", "parameter log_level"));
	CHECK(says(open_refused, "chunk_bytes=512KB!", "chunk_bytes"));
	CHECK(says(open_refused, "ifnames=nosuch0", "nosuch0"));
	CHECK(says(open_allowed, "flow=1",
		   "there is no parameter flow; ignored; did you mean flows\n"));
	CHECK(says(open_allowed, "ifname=lo", "; did you mean ifnames\n"));
	CHECK(says(open_allowed, "quite_another=1",
		   "no parameter quite_another; ignored\n"));
	CHECK(says(open_allowed, "log_level=info", "listening on port"));
	setenv("TCPX_FLOWS", "many", 1);
	CHECK(says(open_refused, "log_level=warn",
		   "TCPX_FLOWS is \"many\"; allowed: 0 to 16\n"));
}

/* What is said to be a GPU's and is not would end the process once touched. */
static void register_vram(const void *arg)
{
	static char memory[4096];
	struct side side;
	void *list;

	side_open(&side, "a", NULL);
	CHECK_EQ(capi()->create_reg_dlist(CAPI_VRAM, &list), 0);
	CHECK_EQ(capi()->reg_dlist_add_desc(list, (uintptr_t)memory,
					    sizeof(memory), 0, "", 0),
		 0);
	CHECK(capi()->register_mem(side.agent, list, side.args) < 0);
	CHECK_EQ(capi()->destroy_reg_dlist(list), 0);
	side_close(&side);
}

static void vram_that_is_none(void)
{
	CHECK(says(register_vram, NULL, "cannot be registered"));
}

static const char *describe_file(const char *folder, char *path, size_t cap)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;
	const char *found = NULL;

	CHECK(dir);
	while ((entry = readdir(dir))) {
		if (strncmp(entry->d_name, "tcpx-nixl-", 10))
			continue;
		snprintf(path, cap, "%s/%s", folder, entry->d_name);
		found = path;
	}
	closedir(dir);
	return found;
}

static bool file_has(const char *path, const char *text)
{
	char content[8192];
	int fd = open(path, O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, content, sizeof(content) - 1);

	content[n > 0 ? n : 0] = '\0';
	close(fd);
	return strstr(content, text) != NULL;
}

static void described_in_a_file(void)
{
	char folder[] = "/tmp/tcpx-nixl-test-XXXXXX", path[512], param[64];
	const char *const params[] = {param, NULL};
	struct side a, b;

	CHECK(mkdtemp(folder));
	snprintf(param, sizeof(param), "describe_dir=%s", folder);
	side_open(&a, "a", params);
	side_open(&b, "b", NULL);
	CHECK(describe_file(folder, path, sizeof(path)));
	CHECK(file_has(path, "\"peers\":[]"));
	side_know(&a, &b);
	for (int i = 0; i < SOON && !file_has(path, "\"name\":\"b\""); i += 10)
		test_sleep_ms(10);
	CHECK(file_has(path, "\"agent\":\"a\""));
	CHECK(file_has(path, "\"name\":\"b\""));
	CHECK(file_has(path, "\"transport\":\"socket\""));
	side_close(&b);
	for (int i = 0; i < SOON && !file_has(path, "\"peers\":[]"); i += 10)
		test_sleep_ms(10);
	CHECK(file_has(path, "\"peers\":[]"));
	side_close(&a);
	CHECK(!describe_file(folder, path, sizeof(path)));
	CHECK_EQ(rmdir(folder), 0);
}

/* Until b has seen a come, and a moment for the line behind its file. */
static void meet(const void *arg)
{
	const char *const folder = arg;
	const char *const params[] = {"ifnames=lo", "flows=2", "log_level=info",
				      NULL};
	char path[512];
	struct side a, b;

	setenv("TCPX_DESCRIBE_DIR", "", 1);
	side_open(&a, "a", params);
	setenv("TCPX_DESCRIBE_DIR", folder, 1);
	side_open(&b, "b", params);
	CHECK(describe_file(folder, path, sizeof(path)));
	side_know(&a, &b);
	for (int i = 0; i < SOON && !file_has(path, "\"name\":\"a\""); i += 10)
		test_sleep_ms(10);
	test_sleep_ms(100);
	side_close(&a);
	side_close(&b);
}

/* Where flows came from is not known, and nothing is said of it. */
static void path_of_who_came(void)
{
	char folder[] = "/tmp/tcpx-nixl-test-XXXXXX";

	CHECK(mkdtemp(folder));
	CHECK(says(meet, folder,
		   "b path: agent a: host to host by socket: lo (2 flows); "));
	CHECK_EQ(rmdir(folder), 0);
}

/* ---- transfers -------------------------------------------------------- */

static void one_piece(enum capi_op op)
{
	static const size_t lens[] = {1, 7, 4096, 8192, 65537, 3 * M};
	struct duo duo;

	duo_open(&duo, 4 * M);
	for (size_t i = 0; i < sizeof(lens) / sizeof(*lens); i++)
		duo_move(&duo, op, 11 * i, 4 * M - lens[i], lens[i]);
	duo_close(&duo);
}

static void write_one(void)
{
	one_piece(CAPI_WRITE);
}

static void read_one(void)
{
	one_piece(CAPI_READ);
}

/* A piece of each is `a_off` near and `b_off` far. */
static struct piece_pair *pieces_of(const struct layout *layout,
				    const struct duo *duo)
{
	struct piece_pair *pieces = calloc(layout->n, sizeof(*pieces));

	CHECK(pieces);
	for (size_t i = 0; i < layout->n; i++)
		pieces[i] = (struct piece_pair){
			duo->near.data + layout->pieces[i].a_off,
			region_at(&duo->far, layout->pieces[i].b_off),
			layout->pieces[i].len_bytes};
	return pieces;
}

static void want_layout(struct duo *duo, const struct layout *layout,
			enum capi_op op)
{
	for (size_t i = 0; i < layout->n; i++)
		duo_want(duo, op, layout->pieces[i].a_off,
			 layout->pieces[i].b_off, layout->pieces[i].len_bytes);
}

static void many_pieces(enum capi_op op, size_t n, uint64_t max_bytes)
{
	struct layout layout;
	struct duo duo;

	n = scale_count(n);
	duo_open(&duo, n * max_bytes);
	layout_init(&layout, check_seed(), n, max_bytes, n * max_bytes / 2);
	struct piece_pair *pieces = pieces_of(&layout, &duo);
	void *req = side_request(&duo.a, op, "b", pieces, layout.n, "all", 3);

	side_run(&duo.a, req);
	want_layout(&duo, &layout, op);
	side_want_note(&duo.b, "a", "all", 3);
	duo_check(&duo);
	/* Again over the same bytes: nothing changes any more. */
	side_run(&duo.a, req);
	side_want_note(&duo.b, "a", "all", 3);
	side_release(&duo.a, req);
	free(pieces);
	layout_fini(&layout);
	duo_close(&duo);
}

static void write_many(void)
{
	many_pieces(CAPI_WRITE, 20000, 512);
}

static void read_many(void)
{
	many_pieces(CAPI_READ, 20000, 512);
}

/* Neighbours on both sides, on one side only, and none. */
static void touching_pieces(void)
{
	struct piece_pair pieces[6];
	struct duo duo;

	duo_open(&duo, M);
	static const struct {
		uint64_t near, far, len;
	} rows[] = {{0, 4096, 100},  {100, 4196, 200},	{300, 4396, 50},
		    {350, 9000, 50}, {20000, 9050, 70}, {20070, 9120, 1}};
	for (size_t i = 0; i < 6; i++) {
		pieces[i] = (struct piece_pair){
			duo.near.data + rows[i].near,
			region_at(&duo.far, rows[i].far), rows[i].len};
		duo_want(&duo, CAPI_WRITE, rows[i].near, rows[i].far,
			 rows[i].len);
	}
	void *req = side_request(&duo.a, CAPI_WRITE, "b", pieces, 6, NULL, 0);

	side_run(&duo.a, req);
	side_release(&duo.a, req);
	side_want_none(&duo.b, 20);
	duo_close(&duo);
}

#define BLOCK 2048u
#define N_BLOCKS 512

static void shuffle(int *indices, int n, uint64_t *random)
{
	for (int i = 0; i < n; i++)
		indices[i] = i;
	for (int i = n - 1; i > 0; i--) {
		int k = (int)(check_rand(random) % (uint64_t)(i + 1));
		int t = indices[i];

		indices[i] = indices[k];
		indices[k] = t;
	}
}

static void prepared_lists(void)
{
	struct piece_pair pieces[N_BLOCKS];
	int from[N_BLOCKS], to[N_BLOCKS];
	uint64_t random = check_seed();
	struct duo duo;

	duo_open(&duo, BLOCK * N_BLOCKS);
	for (size_t i = 0; i < N_BLOCKS; i++)
		pieces[i] = (struct piece_pair){duo.near.data + i * BLOCK,
						region_at(&duo.far, i * BLOCK),
						BLOCK};
	void *near = side_list(&duo.a, "", pieces, N_BLOCKS);
	void *far = side_list(&duo.a, "b", pieces, N_BLOCKS);

	for (int round = 0; round < 20; round++) {
		enum capi_op op = round % 2 ? CAPI_READ : CAPI_WRITE;
		int n = 1 + (int)(check_rand(&random) % N_BLOCKS);
		void *req;

		shuffle(from, N_BLOCKS, &random);
		shuffle(to, N_BLOCKS, &random);
		if (round < 4) /* whole runs, which NIXL merges */
			for (int i = 0; i < N_BLOCKS; i++)
				from[i] = to[i] = i;
		CHECK_EQ(capi()->make_xfer_req(duo.a.agent, op, near, from,
					       (size_t)n, far, to, (size_t)n,
					       &req, duo.a.args),
			 0);
		for (int i = 0; i < n; i++)
			duo_want(&duo, op, (uint64_t)from[i] * BLOCK,
				 (uint64_t)to[i] * BLOCK, BLOCK);
		side_run(&duo.a, req);
		side_release(&duo.a, req);
		duo_check(&duo);
	}
	capi()->release_xfer_dlist_handle(duo.a.agent, near);
	capi()->release_xfer_dlist_handle(duo.a.agent, far);
	duo_close(&duo);
}

static void reposts(void)
{
	struct duo duo;
	uint32_t *word;

	duo_open(&duo, 256 * 1024);
	void *req = side_one(&duo.a, CAPI_WRITE, "b", duo.near.data,
			     region_at(&duo.far, 0), 256 * 1024, NULL, 0);

	for (uint32_t i = 0; i < scale_count(200); i++) {
		pattern_fill(duo.near.data, duo.near.len_bytes, i, 0);
		pattern_fill(duo.near.want, duo.near.len_bytes, i, 0);
		word = (uint32_t *)(void *)duo.near.data;
		*word = i;
		memcpy(duo.near.want, word, 4);
		CHECK(side_post_note(&duo.a, req, &i, sizeof(i)) >= 0);
		/* The receiver first: what it is told is there is there. */
		side_want_note(&duo.b, "a", &i, sizeof(i));
		CHECK_MEM(duo.far.data, duo.near.data, duo.near.len_bytes);
		CHECK_EQ(side_wait(&duo.a, req, SOON), 0);
	}
	memcpy(duo.far.want, duo.near.want, duo.near.len_bytes);
	side_release(&duo.a, req);
	side_want_none(&duo.b, 20);
	duo_close(&duo);
}

/* A region in a region. (Of those that begin before an address NIXL takes
 * the last one, so the inner ones are at the end.) */
static void overlapping_regions(void)
{
	struct duo duo;
	void *inner[2];

	duo_open(&duo, M);
	inner[0] = side_register(&duo.a, duo.near.data + M - 5000, 5000);
	inner[1] = side_register(&duo.b, duo.far.data + M - 7000, 7000);
	side_know(&duo.a, &duo.b);
	duo_move(&duo, CAPI_WRITE, M - 4000, M - 6900, 3000);
	duo_move(&duo, CAPI_READ, 0, 100, M / 2);
	duo_move(&duo, CAPI_WRITE, M - 3, 2000, 3);
	side_deregister(&duo.a, inner[0]);
	duo_move(&duo, CAPI_WRITE, 0, 0, M - 7000);
	duo_move(&duo, CAPI_READ, M / 2, 12500, M / 2);
	side_deregister(&duo.b, inner[1]);
	duo_close(&duo);
}

/* More regions on both sides than one transfer of the library can name. */
static void many_regions(void)
{
	enum { N = 1500, LEN = 64, STEP = 128 };
	struct piece_pair *pieces = calloc(N, sizeof(*pieces));
	struct region near, far;
	void *near_list, *far_list;
	struct side a, b;

	CHECK(pieces);
	side_open(&a, "a", NULL);
	side_open(&b, "b", NULL);
	region_init(&near, N * STEP, 1);
	region_init(&far, N * STEP, 2);
	CHECK_EQ(capi()->create_reg_dlist(CAPI_DRAM, &near_list), 0);
	CHECK_EQ(capi()->create_reg_dlist(CAPI_DRAM, &far_list), 0);
	for (size_t i = 0; i < N; i++) {
		size_t k = i * 7 % N;

		capi()->reg_dlist_add_desc(
			near_list, region_at(&near, i * STEP), LEN, 0, "", 0);
		capi()->reg_dlist_add_desc(far_list, region_at(&far, i * STEP),
					   LEN, 0, "", 0);
		pieces[i] = (struct piece_pair){near.data + i * STEP,
						region_at(&far, k * STEP), LEN};
		memcpy(far.want + k * STEP, near.want + i * STEP, LEN);
	}
	CHECK_EQ(capi()->register_mem(a.agent, near_list, a.args), 0);
	CHECK_EQ(capi()->register_mem(b.agent, far_list, b.args), 0);
	side_know(&a, &b);
	void *req = side_request(&a, CAPI_WRITE, "b", pieces, N, "once", 4);

	for (int i = 0; i < 3; i++) {
		side_run(&a, req);
		side_want_note(&b, "a", "once", 4);
		CHECK(region_check(&far, "far"));
	}
	side_want_none(&b, 20);
	side_release(&a, req);
	side_deregister(&a, near_list);
	side_deregister(&b, far_list);
	side_close(&a);
	side_close(&b);
	free(pieces);
	region_fini(&near);
	region_fini(&far);
}

static void self_transfer(void)
{
	struct region near, far;
	struct side a;

	side_open(&a, "a", NULL);
	region_init(&near, M, 1);
	region_init(&far, M, 2);
	void *near_reg = side_register(&a, near.data, M);
	void *far_reg = side_register(&a, far.data, M);

	for (int i = 0; i < 3; i++) {
		void *req = side_one(&a, i == 1 ? CAPI_READ : CAPI_WRITE, "a",
				     near.data, region_at(&far, 0), M - 7,
				     "self", 4);

		side_run(&a, req);
		side_release(&a, req);
		memcpy(i == 1 ? near.want : far.want,
		       i == 1 ? far.want : near.want, M - 7);
		side_want_note(&a, "a", "self", 4);
		CHECK(region_check(&near, "near"));
		CHECK(region_check(&far, "far"));
		pattern_fill(far.data, M, 5, 0);
		pattern_fill(far.want, M, 5, 0);
	}
	side_tell(&a, "a", "to myself", 9);
	side_want_note(&a, "a", "to myself", 9);
	side_deregister(&a, near_reg);
	side_deregister(&a, far_reg);
	side_close(&a);
	region_fini(&near);
	region_fini(&far);
}

static void several_peers(void)
{
	enum { N = 4 };
	struct side a, peer[N];
	struct region near, far[N];
	void *req[N], *reg;
	char name[8];

	side_open(&a, "a", NULL);
	region_init(&near, N * M, 1);
	reg = side_register(&a, near.data, N * M);
	for (size_t i = 0; i < N; i++) {
		snprintf(name, sizeof(name), "p%zu", i);
		side_open(&peer[i], name, NULL);
		region_init(&far[i], M, i + 2);
		side_register(&peer[i], far[i].data, M);
		side_know(&a, &peer[i]);
		req[i] = side_one(&a, CAPI_WRITE, name, near.data + i * M,
				  region_at(&far[i], 0), M, name, 2);
		CHECK(req[i]);
	}
	for (size_t i = 0; i < N; i++)
		CHECK(side_post(&a, req[i]) >= 0);
	for (size_t i = 0; i < N; i++) {
		CHECK_EQ(side_wait(&a, req[i], SOON), 0);
		side_release(&a, req[i]);
		region_want(&far[i], 0, M, 1, i * M);
		CHECK(region_check(&far[i], "far"));
		side_want_note(&peer[i], "a", peer[i].name, 2);
		side_want_none(&peer[i], 5);
	}
	side_deregister(&a, reg);
	side_close(&a);
	for (size_t i = 0; i < N; i++) {
		side_close(&peer[i]);
		region_fini(&far[i]);
	}
	region_fini(&near);
}

/* ---- notifications ---------------------------------------------------- */

static void notes_alone(void)
{
	static const size_t lens[] = {0, 1, 5, 4096, 65536, M - 64};
	char *text = malloc(2 * M);
	struct duo duo;

	CHECK(text);
	duo_open(&duo, 4096);
	side_know(&duo.b, &duo.a);
	for (size_t i = 0; i < sizeof(lens) / sizeof(*lens); i++) {
		pattern_fill(text, lens[i], i, 0);
		side_tell(&duo.a, "b", text, lens[i]);
		side_want_note(&duo.b, "a", text, lens[i]);
		side_tell(&duo.b, "a", text, lens[i]);
		side_want_note(&duo.a, "b", text, lens[i]);
	}
	side_tell(&duo.a, "b", "nul\0inside\0", 11);
	side_want_note(&duo.b, "a", "nul\0inside\0", 11);
	CHECK(capi()->gen_notif(duo.a.agent, "b", text, M + 1, duo.a.args) < 0);
	CHECK(capi()->gen_notif(duo.a.agent, "nobody", "x", 1, duo.a.args) < 0);
	side_want_none(&duo.b, 20);
	free(text);
	duo_close(&duo);
}

/* Sent while the connect is still under way: none is lost, in order. */
static void notes_at_once(void)
{
	struct side a, b;

	side_open(&a, "a", NULL);
	side_open(&b, "b", NULL);
	side_know(&a, &b);
	for (char i = 0; i < 100; i++)
		side_tell(&a, "b", &i, 1);
	for (char i = 0; i < 100; i++)
		side_want_note(&b, "a", &i, 1);
	side_want_none(&b, 20);
	side_close(&a);
	side_close(&b);
}

static void notes_with_transfers(void)
{
	struct duo duo;
	void *req;

	duo_open(&duo, M);
	req = side_one(&duo.a, CAPI_READ, "b", duo.near.data,
		       region_at(&duo.far, 0), M, "\0\1", 2);
	side_run(&duo.a, req);
	side_want_note(&duo.b, "a", "\0\1", 2);
	duo_want(&duo, CAPI_READ, 0, 0, M);
	/* An empty one is one. */
	CHECK(side_post_note(&duo.a, req, "", 0) >= 0);
	CHECK_EQ(side_wait(&duo.a, req, SOON), 0);
	side_want_note(&duo.b, "a", "", 0);
	/* And none is none, whatever was given when it was made. */
	CHECK(side_post_note(&duo.a, req, NULL, 0) >= 0);
	CHECK_EQ(side_wait(&duo.a, req, SOON), 0);
	side_want_none(&duo.b, 30);
	side_release(&duo.a, req);
	duo_close(&duo);
}

/* An agent's name may be long, and hold any bytes: what is described by it,
 * and what the library calls itself, has to be text all the same. */
static void called(const char *what, size_t at)
{
	char dir[] = "/tmp/nixl_plugin_XXXXXX", name[201];
	struct side a, b;

	memset(name, 'n', 200);
	memcpy(name + at, what, strlen(what));
	name[200] = '\0';
	CHECK(mkdtemp(dir));
	setenv("TCPX_DESCRIBE_DIR", dir, 1);
	side_open(&a, name, NULL);
	side_open(&b, "b", NULL);
	CHECK_EQ(count_entries(dir), 2);
	side_know(&a, &b);
	side_know(&b, &a);
	side_tell(&a, "b", "x", 1);
	side_want_note(&b, name, "x", 1);
	side_tell(&b, name, "y", 1);
	side_want_note(&a, "b", "y", 1);
	side_close(&a);
	side_close(&b);
	CHECK(!rmdir(dir));
}

static void long_names(void)
{
	called("agent \xc3\xa4 \x01", 0);
	/* Where the library's name for it ends. */
	called("\xc3\xa4", TCPX_NAME_MAX - 2);
	called("\xff", 1);
	called("\xf0\x9f", 198);
}

static void pairs_do_not_mix(void)
{
	struct duo one, two;

	duo_open(&one, M);
	duo_open(&two, M); /* the same names again */
	void *req1 = side_one(&one.a, CAPI_WRITE, "b", one.near.data,
			      region_at(&one.far, 0), M, "1", 1);
	void *req2 = side_one(&two.a, CAPI_WRITE, "b", two.near.data,
			      region_at(&two.far, 0), M, "2", 1);

	CHECK(side_post(&one.a, req1) >= 0);
	CHECK(side_post(&two.a, req2) >= 0);
	CHECK_EQ(side_wait(&two.a, req2, SOON), 0);
	CHECK_EQ(side_wait(&one.a, req1, SOON), 0);
	side_want_note(&one.b, "a", "1", 1);
	side_want_note(&two.b, "a", "2", 1);
	side_want_none(&one.b, 10);
	side_want_none(&two.b, 10);
	duo_want(&one, CAPI_WRITE, 0, 0, M);
	duo_want(&two, CAPI_WRITE, 0, 0, M);
	side_release(&one.a, req1);
	side_release(&two.a, req2);
	duo_close(&one);
	duo_close(&two);
}

static const struct check_case cases[] = {
	{"shown_params", shown_params, 0},
	{"params_handed_back", params_handed_back, 0},
	{"bad_params", bad_params, 0},
	{"vram_that_is_none", vram_that_is_none, 0},
	{"described_in_a_file", described_in_a_file, 0},
	{"path_of_who_came", path_of_who_came, 0},
	{"write_one", write_one, 0},
	{"read_one", read_one, 0},
	{"write_many", write_many, 60},
	{"read_many", read_many, 60},
	{"touching_pieces", touching_pieces, 0},
	{"prepared_lists", prepared_lists, 60},
	{"reposts", reposts, 60},
	{"overlapping_regions", overlapping_regions, 0},
	{"many_regions", many_regions, 0},
	{"self_transfer", self_transfer, 0},
	{"several_peers", several_peers, 0},
	{"notes_alone", notes_alone, 0},
	{"notes_at_once", notes_at_once, 0},
	{"notes_with_transfers", notes_with_transfers, 0},
	{"long_names", long_names, 0},
	{"pairs_do_not_mix", pairs_do_not_mix, 0},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
