#pragma once

// What tests, fuzz targets and benches of the VFS stand on: memory that is counted, a time that
// moves only when told, and calls that wait.

#include "base/sync_wait.h"
#include "base/task.h"
#include "vfs/tree.h"

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace bulkhead::vfs {

/* The heap, with a limit on what may be in use, and a count of it. */
class Counting_heap final : public Allocator
{
public:
	size_t used = 0;
	size_t blocks = 0;
	size_t limit = SIZE_MAX;

	~Counting_heap() { BULKHEAD_ASSERT(used == 0 && blocks == 0); }

	Attempt<std::span<std::byte>> allocate(size_t size, size_t) override
	{
		if (size > limit - used) return Error::OUT_OF_MEMORY;
		void *const memory = std::malloc(size);
		if (!memory) return Error::OUT_OF_MEMORY;
		used += size;
		++blocks;
		return std::span(static_cast<std::byte *>(memory), size);
	}
	void free(void *memory, size_t size) override
	{
		std::free(memory);
		used -= size;
		--blocks;
	}
};

class Fake_calendar final : public Calendar
{
public:
	int64_t time_ns = 1'000'000'000;

	int64_t now_ns() const override { return time_ns; }
};

class Fake_clock final : public Clock
{
public:
	uint64_t time_us = 0;

	uint64_t now_us() const override { return time_us; }
};

struct Names final : Entry_sink
{
	size_t room = SIZE_MAX;
	uint64_t cookie = 0;
	std::vector<std::string> names{};

	bool entry(std::string_view name, Type, uint64_t, uint64_t next_cookie) override
	{
		if (room == 0) return false;
		--room;
		names.emplace_back(name);
		cookie = next_cookie;
		return true;
	}
};

struct World
{
	Counting_heap heap{};
	Fake_calendar calendar{};
	Fake_clock clock{};
	Executor executor{clock};
	Job_with_arena<16384> job{executor};
	Tree tree = Tree::create(heap, calendar).value();
	Credentials who{};
	std::function<void()> poll = [] {}; // lets what is waited for happen

	template <typename T>
	Attempt<T> wait(Task<T> task)
	{
		return sync_wait(job, std::move(task), [this](uint64_t) { poll(); });
	}

	Attempt<Ref<File>> open(std::string_view path, Access access = {.read = true, .write = true})
	{
		return wait(tree.open(job, who, path, access));
	}
	Attempt<Ref<Node>> create(std::string_view path, New_node const &node = {})
	{
		return wait(tree.create(job, who, path, node));
	}
	Attempt<Ref<Node>> create_directory(std::string_view path, uint16_t mode = 0755)
	{
		return create(path, {.type = Type::DIRECTORY, .mode = mode});
	}
	Attempt<Ref<Node>> create_link(std::string_view path, std::string_view target)
	{
		return create(path, {.type = Type::SYMLINK, .target = target});
	}
	Attempt<Stat> stat(std::string_view path, Last last = Last::FOLLOW)
	{
		return wait(tree.stat(job, who, path, last));
	}
	Attempt<void> remove(std::string_view path, bool directory = false)
	{
		return wait(tree.remove(job, who, path, directory));
	}
	Attempt<void> rename(std::string_view from, std::string_view to, Rename how = Rename::REPLACE)
	{
		return wait(tree.rename(job, who, from, to, how));
	}
	Attempt<size_t> write(File &file, uint64_t offset, std::string_view text)
	{
		return wait(file.write(job, bytes_of(text), {.offset = offset}));
	}
	Attempt<std::string> read(File &file, uint64_t offset, size_t size)
	{
		std::string text(size, '\0');
		auto const n = wait(
			file.read(job, {reinterpret_cast<uint8_t *>(text.data()), size}, {.offset = offset}));
		if (!n.ok()) return n.error();
		text.resize(n.value());
		return text;
	}
	std::vector<std::string> list(std::string_view path)
	{
		Names names;
		auto const directory = open(path, {});
		if (directory.ok())
			static_cast<void>(wait(directory.value()->read_directory(job, 0, names)));
		return names.names;
	}
};

/* What an attempt has failed with, as text for tests; "ok" if it has not. */
template <typename T>
std::string outcome(Attempt<T> const &attempt)
{
	return attempt.ok() ? "ok" : std::string(name_of(attempt.error()));
}

/* The value of what can't fail here. */
template <typename T>
T must(Attempt<T> attempt)
{
	if (!attempt.ok()) {
		std::fprintf(stderr, "unexpected: %s\n", outcome(attempt).c_str());
		std::abort();
	}
	return std::move(attempt).value();
}

/* One operation under way. */
template <typename T>
class Pending
{
private:
	Job_with_arena<8192> _job;
	Task<T> _task;
	Root _root;

	static Root _run(Job &, Task<T> &task, Attempt<T> &result) { result = co_await task; }

public:
	Attempt<T> result{Error::OUT_OF_FRAMES};

	template <typename START>
	Pending(Executor &executor, START start)
		: _job(executor), _task(start(_job)), _root(_run(_job, _task, result))
	{
		must(_root.start(_job));
		executor.run_ready();
	}

	bool done() const { return _root.done(); }
	void cancel()
	{
		_job.cancel();
		_job.executor.run_ready();
	}
};

} // namespace bulkhead::vfs
