// How fast files in memory are for callers in the same process, each figure to be read against the
// copy of as many bytes in the same run.

#include "vfs/plugin/ram/ram.h"
#include "vfs/test/world.h"

#include <benchmark/benchmark.h>
#include <time.h>

namespace bulkhead::vfs {
namespace {

/* The time of day as a server has it: coarse and cheap. */
class Coarse_calendar final : public Calendar
{
public:
	int64_t now_ns() const override
	{
		timespec now{};
		clock_gettime(CLOCK_REALTIME_COARSE, &now);
		return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
	}
};

struct Bench : World
{
	Coarse_calendar coarse{};

	Bench() { must(tree.attach("/", must(create_ram(heap, coarse, {.bytes = 64 << 20})))); }
	~Bench() { tree = Tree::create(heap, calendar).value(); }

	Ref<File> file_of(size_t size)
	{
		must(create("/file"));
		Ref<File> file = must(open("/file"));
		must(write(*file, 0, std::string(size, 'x')));
		return file;
	}
};

constexpr size_t BLOCK = 64;

void copy(benchmark::State &state)
{
	std::vector<uint8_t> file(static_cast<size_t>(state.range(0)), 'x');
	uint8_t block[BLOCK];
	size_t offset = 0;
	for (auto _ : state) {
		__builtin_memcpy(block, file.data() + offset, BLOCK);
		benchmark::DoNotOptimize(block);
		offset = (offset + BLOCK) % file.size();
	}
	state.SetItemsProcessed(state.iterations());
}

void read(benchmark::State &state)
{
	Bench bench;
	size_t const size = static_cast<size_t>(state.range(0));
	Ref<File> const file = bench.file_of(size);
	uint8_t block[BLOCK];
	size_t offset = 0;
	for (auto _ : state) {
		Task<size_t> task = file->read(bench.job, block, {.offset = offset});
		benchmark::DoNotOptimize(task.take().value());
		benchmark::DoNotOptimize(block);
		offset = (offset + BLOCK) % size;
	}
	state.SetItemsProcessed(state.iterations());
}

void write(benchmark::State &state)
{
	Bench bench;
	size_t const size = static_cast<size_t>(state.range(0));
	Ref<File> const file = bench.file_of(size);
	uint8_t block[BLOCK]{};
	size_t offset = 0;
	for (auto _ : state) {
		benchmark::DoNotOptimize(block);
		Task<size_t> task = file->write(bench.job, block, {.offset = offset});
		benchmark::DoNotOptimize(task.take().value());
		offset = (offset + BLOCK) % size;
	}
	state.SetItemsProcessed(state.iterations());
}

void stat_of_open_node(benchmark::State &state)
{
	Bench bench;
	Ref<File> const file = bench.file_of(4096);
	Ref<Node> const node = must(bench.wait(bench.tree.resolve(bench.job, bench.who, "/file")));
	for (auto _ : state) benchmark::DoNotOptimize(node->stat(bench.job).take().value());
	state.SetItemsProcessed(state.iterations());
}

/* Of a directory with 1000 entries. */
void look_up(benchmark::State &state)
{
	Bench bench;
	std::vector<std::string> names;
	for (int i = 0; i < 1000; ++i) {
		names.push_back("name" + std::to_string(i * 7919 % 1000));
		must(bench.create("/" + names.back()));
	}
	size_t i = 0;
	for (auto _ : state) {
		benchmark::DoNotOptimize(bench.tree.root().lookup(bench.job, names[i]).take().value());
		i = (i + 1) % names.size();
	}
	state.SetItemsProcessed(state.iterations());
}

void resolve_three_deep(benchmark::State &state)
{
	Bench bench;
	must(bench.create_directory("/a"));
	must(bench.create_directory("/a/b"));
	must(bench.create("/a/b/c"));
	for (auto _ : state)
		benchmark::DoNotOptimize(
			must(bench.wait(bench.tree.resolve(bench.job, bench.who, "/a/b/c"))));
	state.SetItemsProcessed(state.iterations());
}

void open_and_close(benchmark::State &state)
{
	Bench bench;
	Ref<File> const file = bench.file_of(4096);
	Ref<Node> const node = must(bench.wait(bench.tree.resolve(bench.job, bench.who, "/file")));
	for (auto _ : state) {
		Ref<File> const opened = node->open(bench.job, bench.who, {}).take().value();
		benchmark::DoNotOptimize(opened->close(bench.job).take().ok());
	}
	state.SetItemsProcessed(state.iterations());
}

void create_and_unlink(benchmark::State &state)
{
	Bench bench;
	for (int i = 0; i < 1000; ++i) must(bench.create("/name" + std::to_string(i)));
	Node &root = bench.tree.root();
	for (auto _ : state) {
		benchmark::DoNotOptimize(root.create(bench.job, bench.who, "new", {}).take().value());
		benchmark::DoNotOptimize(root.remove(bench.job, "new", false).take().ok());
	}
	state.SetItemsProcessed(state.iterations());
}

constexpr int64_t SMALL = 4096;
constexpr int64_t LARGE = 1 << 20;

BENCHMARK(copy)->Arg(SMALL)->Arg(LARGE);
BENCHMARK(read)->Arg(SMALL)->Arg(LARGE);
BENCHMARK(write)->Arg(SMALL)->Arg(LARGE);
BENCHMARK(stat_of_open_node);
BENCHMARK(look_up);
BENCHMARK(resolve_three_deep);
BENCHMARK(open_and_close);
BENCHMARK(create_and_unlink);

} // namespace
} // namespace bulkhead::vfs
