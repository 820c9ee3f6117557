# fanin_kernels(<isa> <flags...>): one object library per instruction set, all from the same sources.
file(GLOB kernel_sources CONFIGURE_DEPENDS cpp/kernels/*.cpp)
# The laws are long chains of operations. GCC arranges two of them side by side only when it schedules before it
# assigns registers; its second way of counting them leaves more of them free. No bit depends on the order.
if(FANIN_KERNEL_FLAGS STREQUAL "-O3" AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  set(is_avx2 $<STREQUAL:$<TARGET_PROPERTY:NAME>,kernels_avx2>)
  set_source_files_properties(cpp/kernels/kernels.cpp PROPERTIES COMPILE_OPTIONS
    "-fschedule-insns;-fsched-pressure;--param=sched-pressure-algorithm=2;-mtune=$<IF:${is_avx2},haswell,znver3>")
endif()

function(fanin_kernels isa)
  add_library(kernels_${isa} OBJECT ${kernel_sources})
  target_compile_definitions(kernels_${isa} PRIVATE FANIN_ISA=${isa} FANIN_ISA_NAME="${isa}")
  target_compile_options(kernels_${isa} PRIVATE ${FANIN_FLAGS} ${FANIN_KERNEL_FLAGS} ${ARGN})
  target_include_directories(kernels_${isa} PRIVATE cpp)
  set_property(GLOBAL APPEND PROPERTY FANIN_KERNELS $<TARGET_OBJECTS:kernels_${isa}>)
endfunction()
