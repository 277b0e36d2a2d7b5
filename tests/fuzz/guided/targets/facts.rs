#![no_main]

mesos_volumed_fuzz::target!("facts");
