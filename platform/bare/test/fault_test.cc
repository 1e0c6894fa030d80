#include "base/assert.h"
#include "platform/bare/console.h"
#include "platform/bare/machine.h"

#include <cstdint>
#include <string_view>

// Makes the mistake that FAULT names. What must be reported is in CMakeLists.txt.

extern "C" [[noreturn]] void abort();

namespace {

// Hides from the compiler what it would warn of, or make use of.
template <typename T>
T hidden(T value)
{
	asm volatile("" : "+r"(value) : : "memory");
	return value;
}

} // namespace

// Not in the unnamed namespace: there the compiler knows all derived classes, and what is called.
class Base
{
public:
	Base() { call(); }
	virtual int step() = 0;

protected:
	~Base() = default;

private:
	void call() { hidden(this)->step(); }
};

namespace {

class Derived final : public Base
{
public:
	int step() override { return 1; }
};

enum class Fault {
	NULL_READ,
	NULL_CALL,
	STACK_OVERFLOW,
	TEXT_WRITE,
	CONSTANT_WRITE,
	DATA_CALL,
	ASSERTION,
	ABORT,
	PURE_VIRTUAL,
	BAD_SUBSTRING,
	RESULT,
	LARGE_RESULT,
};

template <typename T>
T *at(std::uintptr_t address)
{
	return reinterpret_cast<T *>(hidden(address));
}

// The calls are one step down each, and can't become a loop as each keeps its buffer.
std::uint64_t use_stack(std::uint64_t depth)
{
	std::uint64_t volatile buffer[64];
	buffer[0] = depth;
	return hidden(depth) == 0 ? buffer[0] : use_stack(depth + 1) + buffer[0];
}

constinit std::uint32_t data_words[4]{};
constexpr std::uint32_t CONSTANT_WORDS[4]{1, 2, 3, 4};

int commit(Fault fault)
{
	switch (fault) {
	case Fault::NULL_READ: return *at<int volatile>(8);
	case Fault::NULL_CALL: at<void()>(0)(); break;
	case Fault::STACK_OVERFLOW: return static_cast<int>(use_stack(1));
	case Fault::TEXT_WRITE:
		*at<std::uint32_t volatile>(reinterpret_cast<std::uintptr_t>(&bare_main)) = 0;
		break;
	case Fault::CONSTANT_WRITE:
		*at<std::uint32_t volatile>(reinterpret_cast<std::uintptr_t>(CONSTANT_WORDS)) = 0;
		break;
	case Fault::DATA_CALL: at<void()>(reinterpret_cast<std::uintptr_t>(data_words))(); break;
	case Fault::ASSERTION: BULKHEAD_ASSERT(hidden(1) == 2); break;
	case Fault::ABORT: abort();
	case Fault::PURE_VIRTUAL: return Derived{}.step();
	case Fault::BAD_SUBSTRING:
		return static_cast<int>(std::string_view{"abc"}.substr(hidden<std::size_t>(9)).size());
	case Fault::RESULT: return 7;
	case Fault::LARGE_RESULT: return 1000;
	}
	return 0;
}

} // namespace

int bare_main()
{
	int const result = commit(Fault::FAULT);
	bulkhead::bare::put("survived\n");
	return result;
}
