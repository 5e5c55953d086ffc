/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Pools that another process has made, as a net plugin's are: the double's
 * daemon makes one, this process has it twice, as a plugin that writes to it
 * (with the CPU, where it is in host memory) and as a session that reads it.
 * What was written is there for every kernel that starts afterwards.
 */

#include "fakes/netplugin/cuda_pool.h"
#include "fakes/netplugin/rxdm.h"
#include "gpu/cuda/rig.h"
#include "support/proc.h"
#include "transport/netplugin/daemon.h"

#define PAGE 4096u
#define PAGES 4096u
#define BYTES (PAGES * PAGE)
#define WORDS (BYTES / 4)
#define ROUNDS 50u

static struct rig rig;
static struct proc daemon_proc;
static struct daemon_pool pool;
static char dir[] = "/tmp/tcpx-rxdm-XXXXXX";
static uint8_t *written; /* the pool, as the plugin has it, */
static uint8_t *seen; /* ... and as a session has it */

/* false: the driver makes no such pool; why is on stderr. */
static bool start_daemon(const char *kind)
{
	char setting[64];
	const char *const env[] = {setting, NULL};
	const char *const argv[] = {proc_path("TEST_RXDM",
					      "../../fakes/netplugin/rxdm"),
				    dir, "64", NULL};
	const char *line;

	snprintf(setting, sizeof(setting), "DOUBLE_POOL_KIND=%s", kind);
	CHECK(mkdtemp(dir));
	proc_start(&daemon_proc, NULL, env, argv);
	line = proc_line(&daemon_proc, 60000);
	return line && strcmp(line, "ready") == 0;
}

static void begin(const char *kind, enum cuda_pool_place place)
{
	struct gpu_share share;
	struct gpu_info info;
	char why[300] = "";
	void *mem;

	rig_open(&rig, NULL);
	if (!start_daemon(kind)) {
		rxdm_clean(dir);
		SKIP("the driver makes no such pool");
	}
	CHECK_STATUS(gpu_set_info(rig.set, 0, &info), TCPX_OK);
	CHECK_STATUS(daemon_ask_pool(dir, info.pci, 20000, &pool, why,
				     sizeof(why)),
		     TCPX_OK);
	CHECK(pool.len_bytes >= BYTES);
	gpu_share_of_fd(rig.gpu, pool.len_bytes, &share);
	CHECK_STATUS(gpu_share_open(rig.gpu, &share, pool.fd, &mem), TCPX_OK);
	seen = mem;
	written = cuda_pool_import(0, place, pool.fd, pool.len_bytes);
	CHECK(written);
}

/* Who has imported it cannot export it, or may; how long it is it must know,
 * or it is not lent. */
static void check_extent(void)
{
	struct gpu_share share;
	int fd = -1;
	int rc = gpu_share_export(rig.gpu, written + PAGE, &share, &fd);

	CHECK(rc == TCPX_OK || rc == TCPX_EUNSUPPORTED);
	CHECK_EQ(share.all_bytes, pool.len_bytes);
	CHECK_EQ(share.off, PAGE);
	if (fd >= 0)
		close(fd);
}

static void end(void)
{
	check_extent();
	close(pool.fd);
	proc_stop(&daemon_proc);
	rxdm_clean(dir);
}

static void shuffle(uint32_t *order, uint64_t *dice)
{
	for (uint32_t i = 0; i < PAGES; i++) {
		uint32_t k = (uint32_t)(check_rand(dice) % (i + 1));

		order[i] = order[k];
		order[k] = i;
	}
}

/* From pages in that order into one piece, by the library's jobs. */
static void gather(uint8_t *to, const uint32_t *order)
{
	for (uint32_t i = 0; i < PAGES;) {
		struct gpu_job *job = gpu_job_get(rig.gpu);

		CHECK(job);
		while (i < PAGES &&
		       gpu_job_add(job, to + (size_t)i * PAGE,
				   seen + (size_t)order[i] * PAGE, PAGE))
			i++;
		CHECK_STATUS(rig_run(&rig, job), TCPX_OK);
	}
}

/* The same pages again and again, so that what a kernel has read before is of
 * no use to it. */
static void host_pages(void)
{
	static uint32_t words[WORDS], order[PAGES];
	uint64_t dice = check_seed();
	void *whole;

	begin("host", CUDA_POOL_HOST);
	CHECK_STATUS(gpu_mem_alloc(rig.gpu, BYTES, &whole), TCPX_OK);
	for (uint32_t seed = 1; seed <= ROUNDS; seed++) {
		rig_fill(words, WORDS, seed);
		shuffle(order, &dice);
		for (uint32_t i = 0; i < PAGES; i++)
			memcpy(written + (size_t)order[i] * PAGE,
			       (uint8_t *)words + (size_t)i * PAGE, PAGE);
		gather(whole, order);
		CHECK_EQ(rig_mismatches(&rig, whole, WORDS, seed), 0);
		memcpy(written, words, BYTES);
		CHECK_EQ(rig_mismatches(&rig, seen, WORDS, seed), 0);
	}
	/* By copies, too, as a helper shows whose pool it is. */
	CHECK_STATUS(gpu_copy_wait(rig.gpu, order, seen, PAGE), TCPX_OK);
	CHECK_MEM(order, words, PAGE);
	CHECK_MEM(seen, words, BYTES);
	words[0] = ~words[0];
	CHECK_STATUS(gpu_copy_wait(rig.gpu, written, words, PAGE), TCPX_OK);
	CHECK_MEM(written, words, PAGE);
	end();
}

static void device_pages(void)
{
	static uint32_t words[WORDS];

	begin("imported", CUDA_POOL_DEVICE);
	for (uint32_t seed = 1; seed <= 3; seed++) {
		rig_fill(words, WORDS, seed);
		CHECK_STATUS(gpu_copy_wait(rig.gpu, written, words, BYTES),
			     TCPX_OK);
		CHECK_EQ(rig_mismatches(&rig, seen, WORDS, seed), 0);
	}
	end();
}

static const struct check_case cases[] = {
	{"host_pages", host_pages, 120},
	{"device_pages", device_pages, 120},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
