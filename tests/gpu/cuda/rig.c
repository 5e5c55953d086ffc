/* SPDX-License-Identifier: Apache-2.0 */
#include <dlfcn.h>

#include "base/log.h"
#include "gpu/cuda/rig.h"
#include "support/scale.h"

/* The program's kernels. mismatches: words that are not i * 2654435761 + seed,
 * one block. */
static const char program[] =
	".version 7.0\n"
	".target sm_70\n"
	".address_size 64\n"
	".visible .entry mismatches(.param .u64 at, .param .u32 n,\n"
	"	.param .u32 seed, .param .u64 count)\n"
	"{\n"
	"	.reg .pred %p<3>;\n"
	"	.reg .b32 %r<8>;\n"
	"	.reg .b64 %d<5>;\n"
	"	ld.param.u64 %d0, [at];\n"
	"	ld.param.u32 %r0, [n];\n"
	"	ld.param.u32 %r1, [seed];\n"
	"	ld.param.u64 %d1, [count];\n"
	"	mov.u32 %r2, %tid.x;\n"
	"	mov.u32 %r3, %ntid.x;\n"
	"again:\n"
	"	setp.ge.u32 %p0, %r2, %r0;\n"
	"	@%p0 bra done;\n"
	"	mul.wide.u32 %d2, %r2, 4;\n"
	"	add.u64 %d3, %d0, %d2;\n"
	"	ld.global.u32 %r4, [%d3];\n"
	"	mad.lo.u32 %r5, %r2, 2654435761, %r1;\n"
	"	setp.eq.u32 %p1, %r4, %r5;\n"
	"	@!%p1 red.global.add.u32 [%d1], 1;\n"
	"	add.u32 %r2, %r2, %r3;\n"
	"	bra again;\n"
	"done:\n"
	"	ret;\n"
	"}\n"
	".visible .entry touch(.param .u64 at)\n"
	"{\n"
	"	.reg .b64 %d<2>;\n"
	"	ld.param.u64 %d0, [at];\n"
	"	mov.u64 %d1, 1;\n"
	"	st.global.u64 [%d0], %d1;\n"
	"	ret;\n"
	"}\n";

struct rig_driver rig_driver;

static const struct {
	const char *symbol;
	size_t off;
} symbols[] = {
#define X(field, symbol, args) {symbol, offsetof(struct rig_driver, field)},
	RIG_DRIVER_MAP(X)
#undef X
};

void rig_do(cuda_result rc, const char *what, const char *file, int line)
{
	char text[160];

	if (rc == CUDA_SUCCESS)
		return;
	cuda_describe(rc, text, sizeof(text));
	check_fail(file, line, "%s: %s", what, text);
}

static void load_driver(void)
{
	void *lib = dlopen("libcuda.so.1", RTLD_NOW);

	for (size_t i = 0; i < sizeof(symbols) / sizeof(*symbols); i++) {
		void *found = dlsym(lib, symbols[i].symbol);

		CHECK(found != NULL);
		memcpy((char *)&rig_driver + symbols[i].off, &found,
		       sizeof(found));
	}
}

static void load_program(struct rig *rig)
{
	struct CUmod_st *module;

	RIG_DO(cuda_api.module_load(&module, program, 0, NULL, NULL));
	RIG_DO(cuda_api.module_function(&rig->mismatches, module,
					"mismatches"));
	RIG_DO(cuda_api.module_function(&rig->touch, module, "touch"));
	RIG_DO(cuda_api.stream_create(&rig->stream, CUDA_STREAM_NON_BLOCKING,
				      0));
}

static void log_line(void *arg, enum tcpx_log_level level,
		     const char *subsystem, const char *line)
{
	fprintf(stderr, "%s: %s\n", subsystem, line);
}

void rig_open(struct rig *rig, const struct gpu_params *more)
{
	static const struct log log = {.fn = log_line, .level = TCPX_LOG_INFO};
	struct gpu_params params = {.slot_bytes = 1u << 20, .n_slots = 16};
	char why[300] = "";

	if (more)
		params = *more;
	params.log = &log;
	CHECK_STATUS(gpu_set_create("cuda", &params, &rig->set), 0);
	if (gpu_set_count(rig->set, why, sizeof(why)) == 0)
		SKIP(why);
	if (gpu_set_open(rig->set, 0, &rig->gpu, why, sizeof(why)) != 0)
		check_fail(CHECK_AT, "%s", why);
	load_driver();
	RIG_DO(cuda_api.primary_retain(&rig->ctx, 0));
	RIG_DO(cuda_api.ctx_push(rig->ctx));
	load_program(rig);
}

void rig_close(struct rig *rig)
{
	RIG_DO(cuda_api.stream_destroy(rig->stream));
	gpu_set_destroy(rig->set);
}

int rig_wait(struct gpu_job *job)
{
	uint64_t deadline = test_now_ns() + (uint64_t)scale_ms(10000) * 1000000;
	int rc;

	while ((rc = gpu_job_poll(job)) == TCPX_INPROGRESS)
		CHECK(test_now_ns() < deadline);
	return rc;
}

int rig_run(struct rig *rig, struct gpu_job *job)
{
	int rc;

	gpu_job_submit(job);
	gpu_flush(rig->gpu);
	rc = rig_wait(job);
	gpu_job_put(job);
	return rc;
}

void rig_fill(uint32_t *words, uint32_t n_words, uint32_t seed)
{
	for (uint32_t i = 0; i < n_words; i++)
		words[i] = i * 2654435761u + seed;
}

uint32_t rig_mismatches(struct rig *rig, void *mem, uint32_t n_words,
			uint32_t seed)
{
	uint64_t at = (uintptr_t)mem;
	uint32_t *count;
	void *host = NULL;
	uint32_t n;

	RIG_DO(cuda_api.host_alloc(&host, 4096,
				   CUDA_HOST_PORTABLE | CUDA_HOST_DEVICEMAP));
	count = host;
	*count = 0;
	RIG_DO(cuda_api.launch(rig->mismatches, 1, 1, 1, 512, 1, 1, 0,
			       rig->stream,
			       (void *[]){&at, &n_words, &seed, &host}, NULL));
	RIG_DO(rig_driver.stream_sync(rig->stream));
	n = *count;
	RIG_DO(cuda_api.host_free(host));
	return n;
}

void rig_touch(struct rig *rig, uint64_t at)
{
	RIG_DO(cuda_api.launch(rig->touch, 1, 1, 1, 1, 1, 1, 0, rig->stream,
			       (void *[]){&at}, NULL));
}
